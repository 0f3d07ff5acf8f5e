"""NNCLR, NNBYOL and NNSiam: a queue that holds the targets themselves gives the method without neighbors."""

import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "NNCLR": {
        "arguments": {"projection_dim": 8, "hidden_dim": 16, "prediction_hidden_dim": 16, "queue_size": 20}
    },
    "NNBYOL": {"arguments": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9, "queue_size": 20}},
    "NNSiam": {"arguments": {"projection_dim": 8, "prediction_hidden_dim": 16, "queue_size": 20}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def value(model, views):
    (term,) = terms_and_rest(model, views)[0].values()
    return float(term)


def projections(model, view):
    return numpy(model.projector(model.encoder(view, training=True), training=True))


def teacher_projections(model, view):
    return numpy(model.teacher_projector(model.teacher_encoder(view, training=True), training=True))


@pytest.mark.parametrize(
    ("name", "plain", "targets"),
    [("NNBYOL", "BYOL", teacher_projections), ("NNSiam", "SimSiam", projections)],
)
def test_with_its_targets_in_the_queue_it_is_the_plain_method(name, plain, targets):
    views = ready_views(name)
    same = {"prediction_hidden_dim": 16} if plain == "SimSiam" else {"hidden_dim": 16}
    model, other = make(name, views=None, **same), make(plain, views=None, **same)
    model.queue.enqueue(np.concatenate([targets(model, view) for view in views]))
    assert value(model, views) == pytest.approx(value(other, views), rel=1e-5)


def test_nnclr_contrasts_neighbors_with_the_other_views_predictions():
    model = make("NNCLR", views=None, temperature=0.3)
    views, queue = ready_views("NNCLR"), numpy(model.queue.features).astype("float64")
    z = [projections(model, view).astype("float64") for view in views]
    p = [numpy(model.predictor(x.astype("float32"), training=True)).astype("float64") for x in z]
    expected = 0.0
    for mine, other in ((0, 1), (1, 0)):
        for i in range(8):
            neighbor = queue[np.argmax(queue @ z[mine][i])]
            logits = [neighbor @ row / np.linalg.norm(row) / 0.3 for row in p[other]]
            expected += (np.log(np.sum(np.exp(logits))) - logits[i]) / 16
    assert value(model, views) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["NNCLR", "NNBYOL", "NNSiam"])
def test_the_queue_takes_the_first_views_targets_after_the_loss(name):
    model = make(name, views=None)
    model.compile(keras.optimizers.SGD(0.05))
    views = ready_views(name)
    targets = (teacher_projections if name == "NNBYOL" else projections)(model, views[0])
    old = numpy(model.queue.features)
    before = value(model, views)
    history = model.fit(views, labels(8), batch_size=8, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(before, rel=1e-4)
    expected = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    np.testing.assert_allclose(numpy(model.queue.features)[:8], expected, atol=1e-4)
    np.testing.assert_array_equal(numpy(model.queue.features)[8:], old[8:])


def test_nnclr_heads_are_the_papers():
    model = kerassl.methods.NNCLR(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 2048), (2048, 2048), (2048, 256)]
    kernels = [tuple(v.shape) for v in model.predictor.weights if v.path.endswith("kernel")]
    assert kernels == [(256, 4096), (4096, 256)]
    assert model.arguments.queue_size == 98304 and model.arguments.temperature == 0.1
