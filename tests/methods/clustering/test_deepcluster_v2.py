import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "DeepClusterV2": {
        "arguments": {
            "num_examples": 24,
            "num_prototypes": 6,
            "num_heads": 2,
            "hidden_dims": (16,),
            "projection_dim": 8,
        }
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def compiled(optimizer=None, **kwargs):
    model = make("DeepClusterV2", **kwargs)
    model.compile(optimizer or keras.optimizers.SGD(0.1))
    return model


def test_the_first_clusters_are_those_of_the_untrained_network():
    model = compiled(keras.optimizers.SGD(0.0))
    features = model.predict(images(), verbose=0)
    z = unit(numpy(model.projector(features, training=False)))
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if not seen:
                seen.extend([numpy(model.memory.values), numpy(model.clusters), numpy(model.centroids)])

    model.fit(images(), labels(), batch_size=8, verbose=0, callbacks=[Look()])
    memory, clusters, centroids = seen
    for crop in range(2):
        np.testing.assert_allclose(memory[:24, crop], z, atol=1e-5)
    assert not memory[24].any() and (clusters[:, 24] == -1).all()
    for head in range(2):
        np.testing.assert_allclose(np.linalg.norm(centroids[head], axis=0), 1, atol=1e-5)
        np.testing.assert_array_equal(clusters[head, :24], (z @ centroids[head]).argmax(axis=1))
    assert np.abs(centroids[0] - centroids[1]).max() > 1e-3


def test_an_epoch_is_remembered_and_clustered_before_the_next():
    model = compiled()
    model.fit(images(), labels(), batch_size=8, verbose=0)
    first, remembered = numpy(model.clusters), numpy(model.memory.values)
    np.testing.assert_allclose(np.linalg.norm(remembered[:24], axis=-1), 1, atol=1e-5)
    assert np.abs(remembered[:24, 0] - remembered[:24, 1]).max() > 1e-3
    model.start_epoch(None, 0)
    clusters, centroids = numpy(model.clusters), numpy(model.centroids)
    for head in range(2):
        nearest = (remembered[:24, head] @ centroids[head]).argmax(axis=1)
        np.testing.assert_array_equal(clusters[head, :24], nearest)
    assert (clusters != first).any()


def test_the_loss_is_the_cross_entropy_with_the_clusters_and_centres_do_not_learn():
    model = compiled(keras.optimizers.SGD(1.0), views=None)
    views, rng = ready_views("DeepClusterV2"), np.random.default_rng(0)
    centroids = unit(rng.normal(size=(2, 6, 8))).transpose(0, 2, 1).astype("float32")
    clusters = np.concatenate([rng.integers(0, 6, (2, 24)), [[-1], [-1]]], axis=1).astype("int32")
    model.centroids.assign(centroids)
    model.clusters.assign(clusters)
    loss, rest = terms_and_rest(model, views)
    z = numpy(model.projector(model.encoder(np.concatenate(views["inputs"]), training=True), training=True))
    z = unit(z.astype("float64"))
    terms = []
    for head in range(2):
        scores = z @ centroids[head] / 0.1
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        terms.append(-log_p[np.arange(16), np.tile(clusters[head, :8], 2)].mean())
    assert float(loss["deepcluster_v2"]) == pytest.approx(np.mean(terms), rel=1e-4)
    np.testing.assert_array_equal(numpy(rest["assignments"]), clusters[:, :8] + [[0], [6]])
    assert not any("centroids" in v.path for v in model.trainable_variables)


def test_an_unknown_image_is_neither_trained_on_nor_remembered():
    model = compiled(views=None)
    indices = np.array([3, -1, 5, 24, 0, 1, 2, -7])
    views = ready_views("DeepClusterV2", indices=indices)
    model.clusters.assign(np.where(np.arange(25) < 24, np.arange(25) % 6, -1)[None].repeat(2, axis=0))
    model.centroids.assign(unit(np.random.default_rng(0).normal(size=(2, 6, 8))).transpose(0, 2, 1))
    known = np.array([0, 2, 4, 5, 6])
    loss, rest = terms_and_rest(model, views)
    each = []
    for head in range(2):
        for crop in range(2):
            scores = numpy(rest["embeddings"])[known, crop] @ numpy(model.centroids)[head] / 0.1
            log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
            each.append(-log_p[np.arange(5), indices[known] % 6])
    assert float(loss["deepcluster_v2"]) == pytest.approx(np.mean(each), rel=1e-4)
    model.after_update(rest)
    memory = numpy(model.memory.values)
    np.testing.assert_array_equal(np.flatnonzero(memory.any(axis=(1, 2))), [0, 1, 2, 3, 5])
    np.testing.assert_allclose(memory[[3, 5, 0, 1, 2]], numpy(rest["embeddings"])[known])


def test_a_run_that_goes_on_within_an_epoch_does_not_cluster_again(tmp_path):
    class Stop(Exception):
        pass

    class StopAfter(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(numpy(self.model.clock.step)) == 5:
                raise Stop

    def run(*callbacks):
        model = compiled()
        checkpoint = kerassl.callbacks.Checkpoint(tmp_path / "run", every_steps=1)
        model.fit(images(), labels(), batch_size=8, epochs=3, verbose=0, callbacks=[*callbacks, checkpoint])
        return model

    whole = compiled()
    whole.fit(images(), labels(), batch_size=8, epochs=3, verbose=0)
    with pytest.raises(Stop):
        run(StopAfter())
    resumed = run()
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b), err_msg=a.path)


def test_data_without_positions_is_refused():
    model = compiled()
    with pytest.raises(ValueError, match="can be read once only"):
        model.fit(((images(8), labels(8)) for _ in range(2)), steps_per_epoch=2, verbose=0)


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_prototypes must be at most num_examples=24, got 25"):
        make("DeepClusterV2", num_prototypes=25)


def test_gradient_accumulation_is_refused():
    with pytest.raises(ValueError, match="gradient_accumulation_steps"):
        make("DeepClusterV2").compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
