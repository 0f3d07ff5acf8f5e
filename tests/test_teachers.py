import keras
import numpy as np
import pytest

from kerassl.engine import batch_norm
from kerassl.teachers import make_teacher, update_teacher


def student():
    inputs = keras.Input((3,))
    x = batch_norm(name="norm")(keras.layers.Dense(4, name="dense")(inputs))
    return keras.Model(inputs, x, name="student")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("momentum", (0.0, 0.3, 1.0))
def test_the_average_after_k_updates_is_the_closed_form(momentum):
    model = student()
    teacher = make_teacher(model)
    rng = np.random.default_rng(0)
    kernel = model.trainable_variables[0]
    history = [numpy(kernel).astype("float64")]
    for _ in range(5):
        kernel.assign(rng.normal(size=(3, 4)).astype("float32"))
        history.append(numpy(kernel).astype("float64"))
        update_teacher(teacher, model, momentum)
    expected = momentum**5 * history[0]
    for age, value in enumerate(reversed(history[1:])):
        expected = expected + (1 - momentum) * momentum**age * value
    np.testing.assert_allclose(numpy(teacher.weights[0]), expected, atol=1e-6)


def test_running_statistics_are_not_averaged():
    model = student()
    teacher = make_teacher(model)
    norm = model.get_layer("norm")
    norm.moving_mean.assign(norm.moving_mean + 5.0)
    update_teacher(teacher, model, 0.5)
    np.testing.assert_array_equal(numpy(teacher.get_layer("norm").moving_mean), np.zeros(4))


def test_the_copy_runs_batch_norm_on_the_batch_in_training():
    teacher = make_teacher(student())
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32") * 7 + 3
    y = numpy(teacher(x, training=True))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(0), 1, atol=1e-2)
    assert not np.allclose(numpy(teacher.get_layer("norm").moving_mean), 0)


def test_frozen_layers_stay_as_copied():
    model = student()
    model.get_layer("dense").trainable = False
    teacher = make_teacher(model)
    assert not teacher.trainable_variables
    before = numpy(teacher.get_layer("dense").kernel)
    update_teacher(teacher, model, 0.0)
    np.testing.assert_array_equal(numpy(teacher.get_layer("dense").kernel), before)
