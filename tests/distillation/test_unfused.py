import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest, tiny_encoder, tiny_vit

import kerassl
from kerassl.clustering import kmeans, pca_whitening
from kerassl.distillation import UNFUSED

pytestmark = pytest.mark.backends("torch")

TINY = {
    "UNFUSED": {
        "teacher": "SimCLR",
        "arguments": {"num_examples": 24, "num_clusters": 5, "layers": ("early",), "whitened_dim": 6},
        "sizes": (16,),
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def whitened_teacher(model, pictures):
    """The teacher's features as they are clustered, of images without augmentation."""
    prepared = model.teacher.as_it_expects(model.views.preprocess(pictures), model.views)
    features = numpy(model.teacher.network(prepared, training=False)).astype("float64")
    centered = features - features.mean(axis=0)
    left, deviations, right = np.linalg.svd(centered / np.sqrt(len(features)), full_matrices=False)
    rows = centered @ right[:6].T / deviations[:6]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_clusters_are_those_of_the_whitened_teacher_and_stay(tmp_path):
    model = make("UNFUSED")
    model.compile(keras.optimizers.Adam(1e-3))
    assert (numpy(model.clusters.values) == -1).all()
    history = model.fit(images(), labels(), batch_size=8, epochs=1, verbose=0).history
    assert "dead_prototypes" in history and "probe_accuracy" in history
    clusters = numpy(model.clusters.values)
    assert clusters[24] == -1 and set(clusters[:24]) == set(range(5))
    rows, centres = whitened_teacher(model, images()), numpy(model.centroids).astype("float64")
    # k-means came to rest: each row is at its nearest centre, each centre the mean of its rows. Whitening has
    # no say in the signs of its columns.
    found = (rows[:, None] * np.sign(rows[0] * rows_of(model, images())[0])) - centres
    np.testing.assert_array_equal(np.argmin(np.square(found).sum(-1), axis=1), clusters[:24])
    model.fit(images(), labels(), batch_size=8, epochs=2, initial_epoch=1, verbose=0)
    np.testing.assert_array_equal(numpy(model.clusters.values), clusters)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.arguments.layers == model.arguments.layers and len(loaded.branches) == 1
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b), err_msg=a.path)


def rows_of(model, pictures):
    said = numpy(model.teacher.outputs(model, model.views.preprocess(pictures)))
    rows = (said - numpy(model.mean)) @ numpy(model.whitening)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_in_evaluation_an_image_has_the_cluster_that_it_would_be_given():
    whole = kerassl.views.preset("unaugmented", 16)
    model = make("UNFUSED", views=whole)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(images(), batch_size=8, verbose=0)
    nearest = numpy(model.nearest(whole.preprocess(images())))
    np.testing.assert_array_equal(nearest, numpy(model.clusters.values)[:24])
    assert np.isfinite(model.evaluate(images(), batch_size=8, verbose=0)["loss"])


def test_the_loss_is_that_of_the_last_layer_and_its_branches():
    model = make("UNFUSED", views=None, branch_weight=0.5, divergence_weight=0.2, similarity_weight=0.1)
    views = ready_views("UNFUSED", indices=np.where(np.arange(8) < 6, np.arange(8), -1))
    (view,) = views["inputs"]
    clusters = np.r_[np.arange(24) % 5, -1].astype("int32")
    model.clusters.values.assign(clusters)
    terms, rest = terms_and_rest(model, views)
    np.testing.assert_array_equal(numpy(rest["assignments"]), [0, 1, 2, 3, 4, 0, -1, -1])
    features, middle = model.intermediate(view, training=True)
    np.testing.assert_allclose(numpy(rest["features"]), numpy(features), atol=1e-5)
    z = model.classifier(features)
    branch = model.branches[0](keras.ops.mean(middle, axis=(1, 2)), training=True)
    expected = kerassl.losses.unfused(z[:6], (branch[:6],), clusters[:6], 0.5, 0.2, 0.1)
    assert float(terms["unfused"]) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(ValueError, match="UNFUSED remembers each example"):
        terms_and_rest(model, (view,))


def test_our_networks_get_a_branch_for_each_stage_but_the_last():
    teacher = kerassl.methods.SimCLR(tiny_encoder(6), projection_dim=8)
    resnet = kerassl.backbones.ResNet((16, 16, 3), (1, 1, 1, 1), width=2, stem="small")
    model = UNFUSED(teacher, resnet, num_examples=40)
    assert [branch.input_shape[-1] for branch in model.branches] == [2, 4, 8]
    assert [layer.units for layer in model.branches[0].layers if hasattr(layer, "units")] == [32, 32, 32]
    vit = UNFUSED(teacher, tiny_vit(), num_examples=24, num_clusters=4)
    vit.compile(keras.optimizers.Adam(1e-3))
    assert np.isfinite(vit.fit(images(), batch_size=8, verbose=0).history["loss"]).all()


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="num_clusters=25 clusters cannot be made of 24 examples"):
        make("UNFUSED", num_clusters=25)
    with pytest.raises(ValueError, match="UNFUSED: the encoder .* has no layer 'nothing'"):
        make("UNFUSED", layers=("nothing",))


def test_whitening_leaves_a_direction_without_variance_small():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 4)) * [3.0, 1.0, 0.2, 0.0] + 7
    mean, matrix = pca_whitening(rows, 4)
    white = (rows - mean) @ matrix
    np.testing.assert_allclose(np.cov(white, rowvar=False, bias=True)[:3, :3], np.eye(3), atol=1e-4)
    assert np.abs(white[:, 3]).max() < 1e-2
    with pytest.raises(ValueError, match="5 columns cannot be made of 4"):
        pca_whitening(rows, 5)
    assert kmeans(white, 2)[0].shape == (2, 4)
