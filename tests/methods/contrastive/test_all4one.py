import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "All4One": {
        "arguments": {
            "projection_dim": 8,
            "hidden_dim": 16,
            "prediction_hidden_dim": 16,
            "queue_size": 20,
            "momentum": 0.9,
            "num_neighbors": 3,
            "transformer_depth": 1,
            "num_heads": 2,
            "dropout": 0.0,
        }
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def info_nce(targets, predictions, temperature):
    logits = unit(targets) @ unit(predictions).T / temperature
    return np.mean(np.log(np.sum(np.exp(logits), axis=1)) - np.diag(logits))


def test_the_three_terms_are_the_papers_and_the_queue_takes_the_first_keys():
    model = make(
        "All4One",
        views=None,
        temperature=0.3,
        centroid_temperature=0.4,
        neighbor_weight=0.6,
        centroid_weight=0.7,
        feature_weight=2.0,
    )
    model.compile(keras.optimizers.SGD(0.0))
    views, queue = ready_views("All4One"), numpy(model.queue.features)
    z = [model.projector(model.encoder(view, training=True), training=True) for view in views]
    teacher = (model.teacher_encoder(view, training=True) for view in views)
    keys = [numpy(model.teacher_projector(features, training=True)) for features in teacher]
    near = [np.array([queue[np.argsort(-queue @ k)[:3]] for k in unit(of_view)]) for of_view in keys]

    def centroid(tokens):
        return numpy(model.transformer((tokens + model.positions).astype("float32"), training=True))[:, 0]

    neighbor = centroids = 0.0
    for mine, other in ((0, 1), (1, 0)):
        neighbor += info_nce(near[mine][:, 0], numpy(model.predictor(z[other], training=True)), 0.3) / 2
        prediction = numpy(model.centroid_predictor(z[other], training=True))
        shifted = np.stack([prediction, near[other][:, 0], near[other][:, 1]], axis=1)
        centroids += info_nce(centroid(near[mine]), centroid(shifted), 0.4) / 2
    feature = float(losses.feature_redundancy(*z, *(k.astype("float32") for k in keys)))
    history = model.fit(views, labels(8), batch_size=8, shuffle=False, verbose=0).history
    assert history["neighbor"][0] == pytest.approx(0.6 * neighbor, rel=1e-4)
    assert history["centroid"][0] == pytest.approx(0.7 * centroids, rel=1e-4)
    assert history["feature"][0] == pytest.approx(2 * feature, rel=1e-4)
    np.testing.assert_allclose(numpy(model.queue.features)[:8], unit(keys[0]), atol=1e-4)
    np.testing.assert_array_equal(numpy(model.queue.features)[8:], queue[8:])


def test_dropout_differs_between_steps_and_not_between_evaluations():
    model = make("All4One", views=None, dropout=0.5)
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("All4One")
    # Without keys, the first of the two steps leaves all as it was but the step counter.
    model.after_update = lambda state: None
    first, second = (model.fit(views, batch_size=8, verbose=0).history["centroid"][0] for _ in range(2))
    assert abs(first - second) > 1e-4
    assert model.evaluate(views, batch_size=8, verbose=0) == model.evaluate(views, batch_size=8, verbose=0)


def test_sizes_are_the_official_ones():
    model = kerassl.methods.All4One(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 2048), (2048, 2048), (2048, 256)]
    for predictor in (model.predictor, model.centroid_predictor):
        kernels = [tuple(v.shape) for v in predictor.weights if v.path.endswith("kernel")]
        assert kernels == [(256, 4096), (4096, 256)]
    assert model.transformer.output_shape == (None, 5, 256)
    assert sum(v.path.endswith("gamma") for v in model.transformer.weights) == 6
    assert model.arguments.queue_size == 98304 and model.arguments.feature_weight == 5


def test_bad_arguments():
    for arguments, message in (
        ({"num_neighbors": 21}, "num_neighbors must be at most queue_size=20, got 21"),
        ({"num_heads": 3}, "num_heads=3 must divide"),
    ):
        with pytest.raises(ValueError, match=message):
            make("All4One", **arguments)
