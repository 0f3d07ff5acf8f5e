import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "TiCo": {"arguments": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def second_moment(z):
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    return unit.T @ unit / len(z)


def test_the_covariance_holds_both_views_of_every_batch_and_the_loss_uses_it_at_once():
    model = make("TiCo", views=None, momentum=1.0)
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("TiCo")
    z1, z2 = (numpy(model.projector(model.encoder(v, training=True), training=True)) for v in views)
    moment = second_moment(np.concatenate([z1, z2]))
    terms, rest = terms_and_rest(model, views)
    # The teacher still equals the student.
    expected = losses.tico(z1, z2, 0.1 * moment) + losses.tico(z2, z1, 0.1 * moment)
    assert float(terms["tico"]) == pytest.approx(float(expected) / 2, rel=1e-4)
    assert tuple(rest["features"][0].shape) == (8, 16)
    for step in (1, 2):
        model.fit(views, labels(8), batch_size=8, verbose=0)
        np.testing.assert_allclose(numpy(model.covariance), (1 - 0.9**step) * moment, rtol=1e-3, atol=1e-5)
    before = numpy(model.covariance)
    model.evaluate(views, labels(8), batch_size=8, verbose=0)
    np.testing.assert_array_equal(numpy(model.covariance), before)


def test_momentum_zero_copies_the_student():
    model = make("TiCo", views=None, momentum=0.0)
    assert not model.teacher_encoder.trainable_variables and not model.teacher_projector.trainable_variables
    model.compile(keras.optimizers.SGD(0.1))
    start = numpy(model.encoder.weights[0])
    model.fit(ready_views("TiCo"), labels(8), batch_size=8, verbose=0)
    for teacher, student in (
        (model.teacher_encoder, model.encoder),
        (model.teacher_projector, model.projector),
    ):
        np.testing.assert_allclose(numpy(teacher.weights[0]), numpy(student.weights[0]), atol=1e-7)
    assert np.abs(numpy(model.encoder.weights[0]) - start).max() > 0
