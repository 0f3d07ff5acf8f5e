import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest

pytestmark = pytest.mark.backends("torch")

TINY = {
    "SwAV": {
        "arguments": {
            "num_prototypes": 16,
            "hidden_dims": (16,),
            "projection_dim": 8,
            "queue_size": 16,
            "queue_start_epoch": 0,
            "freeze_prototypes_updates": 0,
        },
        "sizes": (16, 16, 16, 16),
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def fit(model, epochs=1, n=8, **kwargs):
    views = ready_views("SwAV", n)
    return model.fit(views, labels(n), batch_size=8, epochs=epochs, verbose=0, shuffle=False, **kwargs)


def sinkhorn(scores, iterations=3):
    q = np.exp(scores.astype("float64") / 0.05)
    for _ in range(iterations):
        q = q / q.sum(axis=0)
        q = q / q.sum(axis=1, keepdims=True)
    return q


def scores_of(model, views):
    """Unit embeddings and cosines of each crop; all are of one size, and so normalized together."""
    z = numpy(model.projector(model.encoder(np.concatenate(views), training=True), training=True))
    z = np.split(z / np.linalg.norm(z, axis=1, keepdims=True), 4)
    return z, [crop @ numpy(model.prototypes.prototypes) for crop in z]


def expected_loss(scores, assignments):
    terms = []
    for u, q in enumerate(assignments):
        for v, s in enumerate(scores):
            if u != v:
                p = np.exp(s / 0.1) / np.exp(s / 0.1).sum(axis=1, keepdims=True)
                terms.append(-np.mean(np.sum(q * np.log(p), axis=1)))
    return np.mean(terms)


def test_each_global_crop_is_predicted_by_all_other_crops():
    model = make("SwAV", views=None, queue_size=0)
    model.compile()
    views = ready_views("SwAV")
    _, scores = scores_of(model, views)
    loss, _ = terms_and_rest(model, views)
    expected = expected_loss(scores, [sinkhorn(s) for s in scores[:2]])
    assert float(loss["swav"]) == pytest.approx(expected, rel=1e-4)


def test_the_loss_does_not_see_the_length_that_prototypes_are_brought_back_from():
    model = make("SwAV", views=None, queue_size=0)
    model.compile(keras.optimizers.SGD(0.0))
    first = fit(model).history["loss"]
    model.prototypes.prototypes.assign(3.0 * model.prototypes.prototypes)
    fit(model)
    np.testing.assert_allclose(np.linalg.norm(numpy(model.prototypes.prototypes), axis=0), 1, atol=1e-5)
    assert fit(model).history["loss"] == pytest.approx(first, rel=1e-5)


def test_the_queue_joins_the_assignment_once_it_is_full():
    """A queue of 16 rows is full after two batches of 8."""
    model = make("SwAV", views=None)
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("SwAV")
    z, scores = scores_of(model, views)
    alone = expected_loss(scores, [sinkhorn(s) for s in scores[:2]])
    for epoch in (1, 2):
        loss = fit(model, epochs=epoch, initial_epoch=epoch - 1).history["loss"][0]
        assert loss == pytest.approx(alone, rel=1e-4)
    for crop in (0, 1):
        np.testing.assert_allclose(
            numpy(model.queues[crop].features), np.concatenate([z[crop]] * 2), atol=1e-4
        )
    model.queues[0].features.assign(numpy(model.queues[0].features)[::-1] * [1, -1, 1, -1, 1, 1, 1, 1])
    queued = [numpy(queue.features) @ numpy(model.prototypes.prototypes) for queue in model.queues]
    assigned = [sinkhorn(np.concatenate([s, q]))[:8] for s, q in zip(scores, queued, strict=False)]
    loss = fit(model, epochs=3, initial_epoch=2).history["loss"][0]
    assert loss == pytest.approx(expected_loss(scores, assigned), rel=1e-4)
    assert abs(loss - alone) > 1e-3


def test_the_queue_waits_for_its_epoch():
    losses = []
    for start in (0, 10):
        model = make("SwAV", views=None, queue_start_epoch=start)
        model.compile(keras.optimizers.SGD(0.0))
        fit(model, epochs=2)
        model.queues[0].features.assign(numpy(model.queues[0].features) * [1, -1, 1, -1, 1, 1, 1, 1])
        losses.append(fit(model, epochs=3, initial_epoch=2).history["loss"][0])
    first, _ = terms_and_rest(make("SwAV", views=None, queue_size=0), ready_views("SwAV"))
    assert losses[1] == pytest.approx(float(first["swav"]), rel=1e-4)
    assert abs(losses[0] - losses[1]) > 1e-3


def test_prototypes_rest_at_first():
    model = make("SwAV", views=None, freeze_prototypes_updates=1)
    model.compile(keras.optimizers.SGD(1.0, momentum=0.9))
    start = numpy(model.prototypes.prototypes)
    fit(model)
    np.testing.assert_allclose(numpy(model.prototypes.prototypes), start, atol=1e-6)
    fit(model, epochs=2, initial_epoch=1)
    assert np.abs(numpy(model.prototypes.prototypes) - start).max() > 1e-4


def test_an_uneven_prior_gives_the_first_prototypes_more():
    model = make("SwAV", views=None, queue_size=0, prior_exponent=1.0, sinkhorn_iterations=200)
    scores = np.random.default_rng(0).uniform(-0.2, 0.2, size=(64, 16)).astype("float32")
    shares = numpy(model.assign(0, scores)).sum(axis=0) / 64
    law = 1 / np.arange(1, 17)
    np.testing.assert_allclose(shares, law / law.sum(), atol=1e-3)


def test_bad_arguments():
    model = make("SwAV", views=None)
    with pytest.raises(ValueError, match="at least two views; got 1"):
        terms_and_rest(model, ready_views("SwAV")[:1])
