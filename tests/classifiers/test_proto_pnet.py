import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, state, terms_and_rest, tiny_encoder

import kerassl
from kerassl.classifiers import ProtoPNet
from kerassl.classifiers.last_layer import fit_last_layer

pytestmark = pytest.mark.backends("torch")

TINY = {
    "ProtoPNet": {
        "arguments": {"prototypes_per_class": 2, "prototype_dim": 8, "warmup_epochs": 0},
        "encoder": "feature map",
        "sizes": (16,),
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def cornered(n=60, seed=0):
    """Images whose class is the corner in which they are bright."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, n)
    pictures = rng.integers(0, 60, (n, 16, 16, 3))
    for picture, label in zip(pictures, classes, strict=True):
        row, column = divmod(label, 2)
        picture[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 190
    return pictures.astype("uint8"), classes


def test_terms_are_those_of_the_paper():
    model = make("ProtoPNet", cluster_weight=0.5, separation_weight=0.25)
    view, classes = model.preprocess(images(6)), np.array([0, 1, 2, -1, 0, 1])
    terms, rest = terms_and_rest(model, (view,), classes)
    patches = numpy(model.latents(0, model.encoder(view, training=True))).reshape(6, 16, -1)
    points = numpy(model.prototypes[0].prototypes).T
    distances = np.sum((patches[:, :, None] - points) ** 2, axis=-1).min(axis=1)
    own = model.prototype_classes == classes[:, None]
    known = classes >= 0
    cluster = np.where(own, distances, np.inf).min(axis=1)[known].mean()
    separation = np.where(own, np.inf, distances).min(axis=1)[known].mean()
    assert float(terms["cluster"]) == pytest.approx(0.5 * cluster, rel=1e-3)
    assert float(terms["separation"]) == pytest.approx(-0.25 * separation, rel=1e-3)
    similarities = np.log((distances + 1) / (distances + 1e-4))
    expected = similarities @ np.where(np.arange(6)[:, None] // 2 == np.arange(3), 1.0, -0.5)
    np.testing.assert_allclose(numpy(rest["logits"]), expected, rtol=1e-3)


def test_similarities_at_and_far_from_a_prototype():
    model = make("ProtoPNet")
    assert float(model.similarity(np.float32(0.0))) == pytest.approx(np.log(1e4), rel=1e-5)
    assert float(model.similarity(np.float32(1e6))) == pytest.approx(0, abs=1e-5)


def test_a_push_makes_prototypes_of_the_nearest_patches_of_their_class():
    pictures, classes = cornered()
    model = make("ProtoPNet")
    patches = numpy(model.latents(0, model.encoder(model.preprocess(pictures), training=False)))
    points = numpy(model.prototypes[0].prototypes).T
    model.push(pictures, classes)
    pushed, shown = numpy(model.prototypes[0].prototypes).T, model.pictures()
    for index, label in enumerate(model.prototype_classes):
        members = np.flatnonzero(classes == label)
        distances = np.sum((patches[members] - points[index]) ** 2, axis=-1)
        image, row, column = np.unravel_index(distances.argmin(), distances.shape)
        np.testing.assert_allclose(pushed[index], patches[members[image], row, column], atol=1e-5)
        # The cell of 4 x 4 pixels and two more on each side, where there are some.
        top, left = 4 * row, 4 * column
        around = pictures[members[image]][max(top - 2, 0) : top + 6, max(left - 2, 0) : left + 6]
        if around.shape[0] == around.shape[1] == 8:
            np.testing.assert_array_equal(shown[index], around.repeat(2, axis=0).repeat(2, axis=1))
    # Each now lies on a patch of an image, and another push moves nothing.
    maps = numpy(model.similarity_maps(model.preprocess(pictures)))
    assert maps.max(axis=(0, 1, 2)) == pytest.approx(np.log(1e4), abs=0.05)
    before = state(model)
    model.push(pictures, classes)
    for path, value in state(model).items():
        np.testing.assert_allclose(value, before[path], atol=1e-6, err_msg=path)
    # In two parts of a data set as in one.
    parts = [(pictures[:20], classes[:20]), (pictures[20:], classes[20:])]
    for one, other in zip(model.nearest_places(parts), model.nearest_places(pictures, classes), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_it_learns_explains_and_leaves_whole(tmp_path):
    pictures, classes = cornered()
    model = make("ProtoPNet", views="unaugmented")
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(pictures, classes, batch_size=20, epochs=10, verbose=0).history
    assert history["cross_entropy"][-1] < 0.5 * history["cross_entropy"][0]
    assert np.mean(model.classify(pictures).argmax(axis=1) == classes) > 0.9
    explanation = model.explain(pictures[0], count=3)
    assert explanation.predicted == model.classify(pictures[:1])[0].argmax()
    assert (np.diff(explanation.similarities) <= 0).all()
    assert explanation.maps.shape == (3, 4, 4)
    np.testing.assert_allclose(explanation.maps.max(axis=(1, 2)), explanation.similarities, rtol=1e-5)
    assert model.save_pictures(tmp_path / "prototypes.png", size=10).exists()
    assert keras.utils.img_to_array(keras.utils.load_img(tmp_path / "prototypes.png")).shape == (81, 20, 3)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.pictures(), model.pictures())
    np.testing.assert_array_equal(loaded.classify(pictures[:5]), model.classify(pictures[:5]))
    alone = keras.models.load_model(model.export_classifier(tmp_path / "classifier", format="keras"))
    np.testing.assert_allclose(alone.predict(images(5), verbose=0), model.classify(images(5)), atol=1e-5)


def test_pushes_come_in_their_epochs_and_a_resumed_run_repeats_them(tmp_path):
    def train(folder, epochs):
        model = make("ProtoPNet", push_start_epoch=1, push_every=2, warmup_epochs=1)
        model.compile(keras.optimizers.Adam(1e-2))
        pushed = []
        push = model.push
        model.push = lambda *data: (pushed.append(model.clock.epoch), push(*data))
        checkpoint = kerassl.callbacks.Checkpoint(folder)
        model.fit(images(16), labels(16), batch_size=8, epochs=epochs, verbose=0, callbacks=[checkpoint])
        return model, pushed

    whole, pushed = train(tmp_path / "whole", 4)
    # Before the epochs 1 and 3, and in the end.
    assert pushed == [1, 3, 4]
    assert train(tmp_path / "parts", 2)[1] == [1, 2]
    resumed, pushed = train(tmp_path / "parts", 4)
    assert pushed == [3, 4]
    for (path, value), other in zip(state(whole).items(), state(resumed).values(), strict=True):
        np.testing.assert_array_equal(value, other, err_msg=path)


def test_the_encoder_waits_for_the_warm_up_and_the_last_layer_for_a_push():
    model = make("ProtoPNet", views=None, warmup_epochs=1)
    model.compile(keras.optimizers.SGD(0.1))
    encoder = [v for v in model.encoder.trainable_variables]
    before, prototypes = [numpy(v) for v in encoder], numpy(model.prototypes[0].prototypes)
    weights = numpy(model.classifier[0].kernel)
    views, classes = ready_views("ProtoPNet"), labels(8)
    model.fit(views, classes, batch_size=8, verbose=0)
    for variable, value in zip(encoder, before, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)
    assert np.abs(numpy(model.prototypes[0].prototypes) - prototypes).max() > 1e-4
    model.fit(views, classes, batch_size=8, epochs=2, initial_epoch=1, verbose=0)
    assert any(np.abs(numpy(v) - b).max() > 1e-5 for v, b in zip(encoder, before, strict=True))
    np.testing.assert_array_equal(numpy(model.classifier[0].kernel), weights)


def test_pruning_takes_out_what_looks_like_other_classes():
    pictures, classes = cornered()
    model = make("ProtoPNet")
    model.push(pictures, classes)
    points = numpy(model.prototypes[0].prototypes)
    # The first prototype of class 0 becomes one of class 2.
    points[:, 0] = points[:, 4]
    model.prototypes[0].prototypes.assign(points)
    similarities, _ = model.similarities(pictures, classes)
    nearest = np.argsort(-similarities, axis=0, kind="stable")[:6]
    expected = (classes[nearest] == model.prototype_classes).sum(axis=0) >= 3
    assert model.prune(pictures, classes) == 6 - expected.sum() >= 1
    np.testing.assert_array_equal(model.kept, expected)
    kernel = numpy(model.classifier[0].kernel)
    assert not kernel[~expected].any() and (kernel[expected] != 0).any(axis=1).all()
    explanation = model.explain(pictures[0], count=6)
    assert len(explanation.classes) == expected.sum() and np.isfinite(explanation.similarities).all()
    # A class without prototypes costs nothing.
    model.in_use.assign(np.float32([0, 0, 1, 1, 1, 1]))
    costs = model.cluster_and_separation(0, similarities, np.zeros(60, "int32"))
    assert float(costs[0]) == 0.0 and float(costs[1]) > 0


def test_the_last_layer_is_the_minimum_of_its_convex_problem():
    rng = np.random.default_rng(0)
    x, labels = rng.uniform(0, 3, (40, 4)), rng.integers(0, 3, 40)
    labels[:5] = -1
    own = np.arange(4)[:, None] % 3 == np.arange(3)
    start = np.where(own, 1.0, -0.5)

    def objective(w):
        logits = x[5:] @ w
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -log_p[np.arange(35), labels[5:]].mean() + 0.02 * np.abs(w[~own]).sum()

    found = fit_last_layer(x, labels, start, own, l1_weight=0.02, iterations=2000).astype("float64")
    best = objective(found)
    assert best < objective(start)
    for _ in range(200):
        assert best <= objective(found + rng.normal(0, rng.choice([1e-3, 1e-2, 0.1]), found.shape)) + 1e-7
    # Few connections to other classes, and none where they cost much.
    assert (found[~own] == 0).any()
    assert not fit_last_layer(x, labels, start, own, l1_weight=10.0, iterations=500)[~own].any()
    np.testing.assert_array_equal(fit_last_layer(x, np.full(40, -1), start, own), start.astype("float32"))


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"ProtoPNet compares the cells of a feature map.*pool=None"):
        ProtoPNet(tiny_encoder(), num_classes=3)
    model = make("ProtoPNet")
    with pytest.raises(ValueError, match="can be read only once"):
        model.push(iter([(images(4), labels(4))]))
