import keras
import numpy as np
import pytest
from tiny import make, ready_views, state, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "AMCL": {
        "arguments": {
            "num_heads": 2,
            "projection_dim": 8,
            "hidden_dim": 16,
            "temperature_hidden_dim": 8,
            "min_temperature": 0.05,
            "max_temperature": 0.5,
        }
    },
    "AMCLBarlowTwins": {"arguments": {"num_heads": 2, "projection_dim": 6, "hidden_dim": 12}},
    "AMCLMoCo": {
        "arguments": {
            "num_heads": 2,
            "projection_dim": 8,
            "hidden_dim": 16,
            "temperature_hidden_dim": 8,
            "min_temperature": 0.05,
            "max_temperature": 0.5,
            "queue_size": 20,
            "momentum": 0.9,
        }
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_the_loss_is_that_of_all_heads_with_the_learned_temperatures():
    model = make("AMCL", views=None, regularization=0.3)
    views = ready_views("AMCL")
    z = [numpy(model.projector(model.encoder(view, training=True))) for view in views]
    rows = np.concatenate(z)
    temperatures = numpy(model.temperature(rows, rows))
    assert temperatures.shape == (2, 16, 16) and 0.05 < temperatures.min() < temperatures.max() < 0.5
    terms, rest = terms_and_rest(model, views)
    expected = float(losses.amcl(*z, temperatures, regularization=0.3))
    assert float(terms["amcl"]) == pytest.approx(expected, rel=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_on_barlow_twins_it_begins_as_that_and_temperatures_of_dimensions_learn():
    model = make("AMCLBarlowTwins", views=None, redundancy_weight=0.05)
    views = ready_views("AMCLBarlowTwins")
    np.testing.assert_allclose(numpy(model.temperature.of_pairs()), np.ones((2, 6, 6)), rtol=1e-6)
    z = [numpy(model.projector(model.encoder(view, training=True), training=True)) for view in views]
    terms, _ = terms_and_rest(model, views)
    of_heads = sum(float(losses.barlow_twins(z[0][:, c], z[1][:, c], 0.05)) for c in range(2))
    penalties = 2 * (6 + 0.05 * 30) * model.arguments.regularization
    assert float(terms["amcl"]) == pytest.approx(of_heads + penalties, rel=1e-4)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(views, batch_size=8, verbose=0)
    temperatures = numpy(model.temperature.of_pairs())
    assert (np.abs(temperatures - 1) > 0).all()
    assert 0.1 < temperatures.min() and temperatures.max() < 10
    with pytest.raises(ValueError, match="1 < maximum .*got 0.1 and 0.5"):
        make("AMCLBarlowTwins", max_temperature=0.5)


def test_of_a_queue_keys_are_detached_and_enqueued_and_directions_averaged():
    model = make("AMCLMoCo", views=None)
    view1, view2 = ready_views("AMCLMoCo")
    q1, q2 = (numpy(model.projector(model.encoder(view, training=True))) for view in (view1, view2))
    queue = numpy(model.queue.features).reshape(20, 2, 8)

    # The teacher begins as the student.
    def direction(q, k):
        own, others = numpy(model.temperature.of_rows(q, k)), numpy(model.temperature(q, queue))
        return float(losses.amcl_queue(q, k, queue, own, others))

    terms, rest = terms_and_rest(model, (view1, view2))
    expected = (direction(q1, q2) + direction(q2, q1)) / 2
    assert float(terms["amcl"]) == pytest.approx(expected, rel=1e-5)
    model.after_update(rest)
    keys = np.concatenate([q2, q1]).reshape(16, 16)
    stored = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    np.testing.assert_allclose(numpy(model.queue.features)[:16], stored, atol=1e-5)
    assert int(model.queue.position) == 16


def test_heads_and_temperatures_learn_and_the_teacher_follows():
    model = make("AMCLMoCo", views=None, momentum=0.75)
    before = state(model)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(ready_views("AMCLMoCo"), batch_size=8, verbose=0)
    after = state(model)
    for student, teacher in zip(model.projector.weights, model.teacher_projector.weights, strict=True):
        expected = 0.75 * before[teacher.path] + 0.25 * after[student.path]
        np.testing.assert_allclose(after[teacher.path], expected, atol=1e-6, err_msg=teacher.path)
    for variable in (*model.projector.weights, *model.temperature.weights):
        assert np.abs(after[variable.path] - before[variable.path]).max() > 0, variable.path


def test_the_heads_are_the_official_ones():
    model = kerassl.methods.AMCL(tiny_encoder())
    shapes = [tuple(v.shape) for v in model.projector.weights]
    assert shapes == [(16, 3, 512), (3, 512), (3, 512, 128), (3, 128)]
    assert (model.arguments.regularization, model.temperature.arguments.hidden_dim) == (0.1, 128)
    assert (model.temperature.arguments.minimum, model.temperature.arguments.maximum) == (1e-5, 2.0)


@pytest.mark.parametrize("name", ("AMCL", "AMCLMoCo"))
def test_bad_arguments(name):
    for argument, value, text in (("max_temperature", 0.05, "max_temperature.*got 0.05 and 0.05"),):
        with pytest.raises(ValueError, match=text):
            make(name, **{argument: value})
