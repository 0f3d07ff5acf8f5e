import keras
import numpy as np
import pytest
from tiny import images, make, tiny_encoder

import kerassl
from kerassl.engine import batch_norm
from kerassl.teachers import make_teacher, update_teacher

once = pytest.mark.backends("torch")


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


def changed(layer):
    """The layer with other weights, as one that was given those of a file."""
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    return layer


def fit(model):
    # The student does not move, so that the teacher shows where it began.
    model.compile(keras.optimizers.SGD(0.0))
    return model.fit(images(8), batch_size=8, epochs=1, verbose=0)


def same_kernels(first, second):
    return all(
        np.allclose(numpy(a), numpy(b), atol=1e-5)
        for a, b in zip(first.weights, second.weights, strict=True)
        if "kernel" in a.path
    )


@pytest.mark.parametrize(
    "name", ["BYOL", pytest.param("MoCoV2", marks=once), pytest.param("DINO", marks=once)]
)
def test_the_teacher_of_an_untrained_model_follows_weights_that_the_encoder_is_given(name):
    model = make(name)
    changed(model.encoder)
    assert not same_kernels(model.encoder, model.teacher_encoder)
    fit(model)
    assert same_kernels(model.encoder, model.teacher_encoder)


def test_a_teacher_whose_own_weights_were_loaded_stays():
    model = make("BYOL")
    changed(model.teacher_encoder)
    fit(model)
    assert not same_kernels(model.encoder, model.teacher_encoder)


def test_the_teacher_of_a_trained_model_stays():
    model = make("BYOL", momentum=1.0)
    fit(model)
    changed(model.encoder)
    fit(model)
    assert not same_kernels(model.encoder, model.teacher_encoder)


def test_teachers_that_are_not_to_follow_stay():
    model = make("RandomTeacher")
    before = numpy(model.teacher_encoder.weights[0])
    changed(model.encoder)
    fit(model)
    np.testing.assert_array_equal(numpy(model.teacher_encoder.weights[0]), before)
    # A frozen teacher may be the student's own start.
    encoder = tiny_encoder()
    model = kerassl.distillation.Distill(encoder, encoder, loss="rkd_distance", use_head=False)
    before = numpy(model.teacher.network.weights[0])
    changed(model.encoder)
    fit(model)
    np.testing.assert_array_equal(numpy(model.teacher.network.weights[0]), before)


SMALL = {
    "BYOL": {"projection_dim": 4, "hidden_dim": 8},
    "MoCoV2": {"projection_dim": 4, "queue_size": 16},
    "DINO": {"num_prototypes": 8, "hidden_dim": 8, "bottleneck_dim": 4, "views": "simclr_cifar"},
}


@pytest.mark.parametrize(
    "name", ["BYOL", pytest.param("MoCoV2", marks=once), pytest.param("DINO", marks=once)]
)
def test_an_encoder_with_low_rank_adapters_has_a_teacher(name):
    encoder = kerassl.backbones.vit((16, 16, 3), patch_size=8, hidden_dim=8, depth=1, num_heads=2)
    for layer in encoder.blocks[0].qkv, encoder.blocks[0].mlp_hidden:
        layer.enable_lora(2, lora_alpha=4)
    model = getattr(kerassl.methods, name)(encoder, **SMALL[name])
    # The adapters begin with a product of zero.
    encoder.blocks[0].qkv.lora_kernel_b.assign(encoder.blocks[0].qkv.lora_kernel_b + 1.0)
    frozen = numpy(encoder.blocks[0].qkv._kernel)
    fit(model)
    teacher = model.teacher_encoder
    assert teacher.blocks[0].qkv.lora_enabled and not teacher.trainable_variables
    np.testing.assert_array_equal(numpy(encoder.blocks[0].qkv._kernel), frozen)
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(numpy(teacher(x)), numpy(encoder(x)), atol=1e-6)


def test_a_student_whose_config_does_not_tell_its_weights_is_refused():
    model = student()
    model.get_layer("dense").enable_lora(2)
    copied = make_teacher(model)
    assert len(copied.weights) == len(model.weights)

    class Grown(keras.layers.Dense):
        def build(self, shape):
            super().build(shape)
            if self.name == "grown":
                self.more = self.add_weight((1,), name="more")

        def get_config(self):
            return {"units": 2, "name": "as_said"}

    layer = Grown(2, name="grown")
    layer.build((None, 3))
    with pytest.raises(ValueError, match="grown has 3 weights, but the copy .* has 2"):
        make_teacher(layer)
