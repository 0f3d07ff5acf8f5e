import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest

pytestmark = pytest.mark.backends("torch")

TINY = {
    "PCL": {
        "arguments": {
            "num_examples": 24,
            "num_prototypes": (5, 8),
            "num_negative_prototypes": 8,
            "warmup_epochs": 0,
            "projection_dim": 8,
            "queue_size": 20,
            "momentum": 0.9,
        }
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def with_clusters(used=4, **kwargs):
    """A model of known prototypes, densities and clusters, of which the first `used` have images."""
    model = make("PCL", views=None, **kwargs)
    model.compile(keras.optimizers.SGD(0.0))
    rng = np.random.default_rng(0)
    for i, number in enumerate((5, 8)):
        model.centroids[i].assign(unit(rng.normal(size=(number, 8))))
        model.densities[i].assign(rng.uniform(0.1, 0.4, number))
        model.clusters[i].values.assign(np.where(np.arange(25) < 24, np.arange(25) % used, -1))
    return model


def test_without_clusters_it_is_moco():
    model, moco = make("PCL", views=None), make("MoCoV2", views=None)
    views = ready_views("PCL")
    for name in ("encoder", "teacher_encoder", "projector", "teacher_projector", "queue"):
        getattr(moco, name).set_weights(getattr(model, name).get_weights())
    terms, rest = terms_and_rest(model, views)
    expected, _ = terms_and_rest(moco, views["inputs"])
    assert list(terms) == ["info_nce", "proto_nce"]
    assert float(terms["info_nce"]) == pytest.approx(float(expected["info_nce"]), rel=1e-5)
    assert float(terms["proto_nce"]) == 0.0
    assert (numpy(rest["assignments"]) == -1).all()


@pytest.mark.parametrize("symmetric", (False, True))
def test_the_term_is_the_mean_over_clusterings_of_the_contrast_with_all_prototypes(symmetric):
    model = with_clusters(symmetric=symmetric)
    indices = np.array([3, 7, -1, 8, 0, 5, 24, 12])
    views = ready_views("PCL", indices=indices)
    known = np.array([0, 1, 3, 4, 5, 7])
    terms, rest = terms_and_rest(model, views)
    total = 0.0
    for query in rest["queries"]:
        q = unit(numpy(query).astype("float64"))
        for i in range(2):
            centroids, densities = (numpy(v[i]) for v in (model.centroids, model.densities))
            own = numpy(model.clusters[i].values)[indices[known]]
            others = [k for k in range(len(centroids)) if k not in own]
            columns = np.concatenate([own, others])
            for place, b in enumerate(known):
                logits = q[b] @ centroids[columns].T / densities[columns]
                log_p = logits - np.log(np.exp(logits).sum())
                total -= log_p[place] / len(known) / 2
    assert len(rest["queries"]) == 1 + symmetric
    assert float(terms["proto_nce"]) == pytest.approx(total, rel=1e-4)


def test_fewer_negatives_are_drawn_anew_in_each_step_and_never_of_the_batch():
    drawing, values = with_clusters(used=2, num_negative_prototypes=2), []
    for step in range(4):
        drawing.clock.step.assign(step)
        values.append(float(terms_and_rest(drawing, ready_views("PCL"))[0]["proto_nce"]))
    assert len(set(values)) > 1
    # Of one clustering all prototypes but one are of the batch, so that one is every negative there is.
    views, values = ready_views("PCL"), []
    for number in (1, 8):
        model = with_clusters(num_negative_prototypes=number)
        model.clusters[1].values.assign(np.where(np.arange(25) < 24, np.arange(25) % 7, -1))
        values.append(float(terms_and_rest(model, views)[0]["proto_nce"]))
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_clusters_are_of_the_teachers_projections_once_the_warm_up_is_over():
    model = make("PCL", warmup_epochs=1)
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit(images(), labels(), batch_size=8, verbose=0).history
    assert history["proto_nce"] == [0.0] and history["dead_prototypes"] == [5.0]
    found = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            features = model.encode(model.teacher_encoder, model.views.preprocess(images()), training=False)
            found.append(numpy(model.teacher_projector(features, training=False)))

    history = model.fit(
        images(), labels(), batch_size=8, epochs=2, initial_epoch=1, verbose=0, callbacks=[Look()]
    ).history
    z = unit(found[0])
    for i in range(2):
        clusters, centroids = numpy(model.clusters[i].values), numpy(model.centroids[i])
        assert clusters[24] == -1 and (clusters[:24] >= 0).all()
        means = np.array([unit(z[clusters[:24] == k].mean(axis=0)) for k in np.unique(clusters[:24])])
        np.testing.assert_allclose(centroids[np.unique(clusters[:24])], means, atol=1e-4)
        assert numpy(model.densities[i]).mean() == pytest.approx(0.2, rel=1e-5)
    assert history["proto_nce"][0] > 0 and history["dead_prototypes"][0] < 5


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"num_prototypes must be at most num_examples=24, got \(6, 25\)"):
        make("PCL", num_prototypes=(6, 25))
    with pytest.raises(ValueError, match="num_prototypes must be one number of prototypes or more"):
        make("PCL", num_prototypes=())
    model = make("PCL")
    model.compile()
    with pytest.raises(ValueError, match="must know which ones it sees"):
        terms_and_rest(model, ready_views("PCL")["inputs"])
