import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, state, terms_and_rest

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "BYOL": {"arguments": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_teacher_starts_equal_and_shares_nothing():
    model = make("BYOL", views=None)
    for teacher, student in (
        (model.teacher_encoder, model.encoder),
        (model.teacher_projector, model.projector),
    ):
        assert not {id(v) for v in teacher.variables} & {id(v) for v in student.variables}
        assert not {v.path for v in teacher.variables} & {v.path for v in student.variables}
        assert not teacher.trainable_variables
        for a, b in zip(teacher.get_weights(), student.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    x = ready_views("BYOL")[0]
    np.testing.assert_allclose(
        numpy(model.teacher_encoder(x, training=False)), numpy(model.encoder(x, training=False)), atol=1e-6
    )


def test_teacher_follows_by_the_closed_form():
    model = make("BYOL", views=None, momentum=0.9)
    model.compile(keras.optimizers.SGD(0.1))
    kernel, shadow = model.encoder.trainable_variables[0], model.teacher_encoder.weights[0]
    expected = numpy(kernel).astype("float64")
    steps = 4
    momenta = []
    for step in range(steps):
        model.fit(
            ready_views("BYOL"), labels(8), batch_size=8, epochs=step + 1, initial_epoch=step, verbose=0
        )
        # `fit` is told one epoch at a time, so each announces a run that ends with it.
        momentum = 1 - (1 - 0.9) * (np.cos(np.pi * step / (step + 1)) + 1) / 2
        momenta.append(momentum)
        expected = momentum * expected + (1 - momentum) * numpy(kernel)
        np.testing.assert_allclose(numpy(shadow), expected, atol=1e-6)
    assert momenta == sorted(momenta) and momenta[0] == pytest.approx(0.9)


def test_momentum_zero_copies_and_one_keeps():
    for momentum in (0.0, 1.0):
        model = make("BYOL", views=None, momentum=momentum)
        start = numpy(model.teacher_encoder.weights[0])
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(ready_views("BYOL"), labels(8), batch_size=8, verbose=0)
        end, student = numpy(model.teacher_encoder.weights[0]), numpy(model.encoder.weights[0])
        np.testing.assert_allclose(end, student if momentum == 0 else start, atol=1e-7)
        assert np.abs(student - start).max() > 0


def test_the_loss_is_the_sum_of_both_directions():
    model = make("BYOL", views=None)
    model.compile()
    views = ready_views("BYOL")

    def project(encoder, projector, view):
        return projector(encoder(view, training=True), training=True)

    expected = 0.0
    for mine, other in ((0, 1), (1, 0)):
        p = numpy(model.predictor(project(model.encoder, model.projector, views[mine]), training=True))
        z = numpy(project(model.teacher_encoder, model.teacher_projector, views[other]))
        p, z = (a.astype("float64") / np.linalg.norm(a, axis=1, keepdims=True) for a in (p, z))
        expected += np.mean([np.sum((p[i] - z[i]) ** 2) for i in range(len(p))])
    terms, _ = terms_and_rest(model, views)
    assert float(terms["byol"]) == pytest.approx(expected, rel=1e-5)


def test_running_statistics_are_the_teachers_own():
    model = make("BYOL", views=None, momentum=1.0)
    model.compile(keras.optimizers.SGD(0.1))
    moving = [v for v in model.teacher_encoder.weights if "moving" in v.path]
    before = [numpy(v) for v in moving]
    model.fit(ready_views("BYOL"), labels(8), batch_size=8, verbose=0)
    assert all(np.abs(numpy(v) - b).max() > 0 for v, b in zip(moving, before, strict=True))


def test_the_embedding_is_the_students():
    model = make("BYOL")
    assert model.embedding_encoder is model.encoder


def test_defaults_are_the_papers():
    encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
    model = kerassl.methods.BYOL(encoder)
    assert model.arguments.momentum == 0.996 and model.projector.output_shape == (None, 256)
    assert [tuple(v.shape) for v in model.predictor.trainable_variables][:2] == [(256, 4096), (4096,)]
    assert "probe" not in " ".join(state(model))
