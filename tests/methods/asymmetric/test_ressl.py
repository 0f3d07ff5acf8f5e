import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "ReSSL": {"arguments": {"projection_dim": 8, "hidden_dim": 16, "queue_size": 20, "momentum": 0.9}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_the_student_of_the_strong_view_follows_the_teacher_of_the_weak_one():
    model = make("ReSSL", views=None, student_temperature=0.3, teacher_temperature=0.1)
    model.compile(keras.optimizers.SGD(0.05))
    # A teacher of its own, so that the roles show.
    for variable in model.teacher_projector.weights:
        variable.assign(variable + 0.1)
    strong, weak = ready_views("ReSSL")
    q = numpy(model.projector(model.encoder(strong, training=True), training=True))
    k = numpy(model.teacher_projector(model.teacher_encoder(weak, training=True), training=True))
    q, k = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (q, k))
    queue = numpy(model.queue.features)
    expected = -np.mean(np.sum(softmax(k @ queue.T / 0.1) * np.log(softmax(q @ queue.T / 0.3)), axis=1))
    teacher = [numpy(v) for v in model.teacher_projector.weights]
    history = model.fit((strong, weak), labels(8), batch_size=8, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    # Afterwards the keys are in the queue, and the teacher has moved by a constant share.
    np.testing.assert_allclose(numpy(model.queue.features)[:8], k, atol=1e-5)
    np.testing.assert_array_equal(numpy(model.queue.features)[8:], queue[8:])
    for before, after, student in zip(
        teacher, model.teacher_projector.weights, model.projector.weights, strict=True
    ):
        np.testing.assert_allclose(numpy(after), 0.9 * before + 0.1 * numpy(student), atol=1e-6)


def test_the_default_views_are_a_strong_and_a_weak_one():
    model = make("ReSSL")
    strong, weak = model.views.view1, model.views.view2
    assert strong.brightness == 0.4 and strong.blur_probability == 0.5
    assert weak.flip == 0.5 and not (weak.brightness or weak.grayscale_probability or weak.blur_probability)
    strong, weak = kerassl.views.preset("ressl", 224).view1, kerassl.views.preset("ressl", 224).view2
    assert strong.scale == weak.scale == (0.2, 1.0)
    assert strong.hue == 0.1 and not weak.hue
    strong, weak = (
        kerassl.views.preset("ressl_digits", 8, 1).view1,
        kerassl.views.preset("ressl_digits", 8, 1).view2,
    )
    assert strong.brightness and not weak.brightness and strong.flip == weak.flip == 0


def test_the_heads_are_the_papers():
    model = kerassl.methods.ReSSL(tiny_encoder(), queue_size=8)
    assert [tuple(v.shape) for v in model.projector.weights] == [(16, 4096), (4096,), (4096, 512), (512,)]
