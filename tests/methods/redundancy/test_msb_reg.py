import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "MSBReg": {
        "arguments": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9},
        "without_chance": {"brownian_weight": 0.0},
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_the_terms_are_those_of_predictions_and_of_the_teachers_projections():
    model = make("MSBReg", views=None, singular_value_weight=2.0, brownian_weight=0.5)
    views = (*ready_views("MSBReg"), ready_views("MSBReg", seed=1)[0])
    z = [model.projector(model.encoder(view, training=True), training=True) for view in views]
    p = [model.predictor(each, training=True) for each in z]
    directions = numpy(keras.random.normal((8, 8), seed=model.clock.seed("brownian", True)))
    terms, rest = terms_and_rest(model, views)
    # The teacher still equals the student.
    assert float(terms["centroid"]) == pytest.approx(float(losses.centroid_attraction(p, z)), rel=1e-4)
    assert float(terms["singular_values"]) == pytest.approx(
        2 * float(losses.singular_value_dispersion(p)), rel=1e-3
    )
    p = np.stack([numpy(each) for each in p])
    unit, directions = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (p, directions))
    assert float(terms["brownian"]) == pytest.approx(-0.5 * np.mean(np.sum(unit * directions, -1)), abs=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_the_push_is_drawn_anew_for_every_image_and_step():
    model = make("MSBReg", views=None)
    first, second = (
        numpy(keras.random.normal((8, 8), seed=model.clock.seed("brownian", training)))
        for training in (True, False)
    )
    model.clock.step.assign(1)
    later = numpy(keras.random.normal((8, 8), seed=model.clock.seed("brownian", True)))
    assert len({row.tobytes() for row in (*first, *second, *later)}) == 24


def test_momentum_zero_copies_the_student():
    model = make("MSBReg", views=None, momentum=0.0)
    model.compile(keras.optimizers.SGD(0.1))
    start = numpy(model.encoder.weights[0])
    model.fit(ready_views("MSBReg"), labels(8), batch_size=8, verbose=0)
    student = numpy(model.encoder.weights[0])
    np.testing.assert_allclose(numpy(model.teacher_encoder.weights[0]), student, atol=1e-7)
    assert np.abs(student - start).max() > 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_views must be at least 2, got 1"):
        make("MSBReg", num_views=1)
    model = make("MSBReg", views=None)
    with pytest.raises(ValueError, match="it needs two; got 1"):
        terms_and_rest(model, ready_views("MSBReg")[:1])
