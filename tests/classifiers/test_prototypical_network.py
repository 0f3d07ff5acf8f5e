import keras
import numpy as np
import pytest
from tiny import images, make, ready_views, terms_and_rest

import kerassl
from kerassl.classifiers import NearestMean

pytestmark = pytest.mark.backends("torch")

TINY = {
    "PrototypicalNetwork": {"arguments": {"shots": 1}, "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def colored(n=60, seed=0):
    """Images whose class is their brightness."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, n)
    pictures = np.clip(80 * classes[:, None, None, None] + rng.normal(0, 20, (n, 16, 16, 3)), 0, 255)
    return pictures.astype("uint8"), classes


def test_the_batch_is_an_episode_of_first_images_and_others():
    model = make("PrototypicalNetwork", views=None, shots=2)
    (view,), labels = ready_views("PrototypicalNetwork", 9), np.array([0, 1, 0, 0, -1, 1, 1, 2, 0])
    terms, rest = terms_and_rest(model, (view,), labels)
    z = numpy(rest["features"]).astype("float64")
    support = {0: [0, 2], 1: [1, 5], 2: [7]}
    means = {label: z[rows].mean(axis=0) for label, rows in support.items()}
    each = []
    for query in (3, 6, 8):
        logits = np.array([-np.sum((z[query] - means[label]) ** 2) for label in range(3)])
        each.append(np.log(np.exp(logits - logits.max()).sum()) - (logits - logits.max())[labels[query]])
    assert float(terms["prototypical"]) == pytest.approx(np.mean(each), rel=1e-4)
    assert np.flatnonzero(numpy(rest["counted"])).tolist() == [3, 6, 8]


def test_means_run_with_the_batches_and_are_weighted_by_age():
    model = make("PrototypicalNetwork", views=None, momentum=0.5)
    dim = model.feature_dim
    first, second = np.ones((3, dim), "float32"), np.full((3, dim), 4.0, "float32")
    model.classifier.move(first, np.array([True, True, False]))
    model.classifier.move(second, np.array([True, False, False]))
    means = numpy(model.classifier.prototypes)[0]
    # 1 with weight 0.5 and 4 with weight 1; one update; none.
    assert means == pytest.approx([(0.5 * 1 + 4) / 1.5, 1.0, 0.0])
    logits = numpy(model.classifier(np.zeros((1, dim), "float32")))
    assert logits[0, 2] == np.float32(-1e30) and logits[0, 1] == pytest.approx(-dim)


def test_it_learns_explains_and_leaves_whole(tmp_path):
    pictures, classes = colored()
    model = make("PrototypicalNetwork", shots=3)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(pictures, classes, batch_size=20, epochs=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and history["accuracy"][-1] > 0.8
    hits = np.mean(model.classify(pictures).argmax(axis=1) == classes)
    assert hits > 0.9
    assert model.evaluate(pictures, classes, verbose=0)["accuracy"] == pytest.approx(hits, abs=1e-6)
    # The means of all images, as a nearest mean of raw features has them.
    nearest = NearestMean(model, "none").add(pictures, classes)
    np.testing.assert_allclose(numpy(model.classifier.prototypes).T, nearest.means.means, atol=1e-4)
    np.testing.assert_array_equal(model.pictures(), nearest.pictures())

    explanation = model.explain(pictures[0], count=2)
    assert explanation.predicted == explanation.classes[0] == classes[0] and explanation.maps is None
    features = kerassl.embed(model, pictures[:1])[0][0]
    own = np.sum((features - nearest.means.means[classes[0]]) ** 2)
    assert explanation.similarities[0] == pytest.approx(-own, rel=1e-3, abs=1e-3)
    np.testing.assert_array_equal(explanation.prototypes, model.pictures()[explanation.classes])
    path = model.save_pictures(tmp_path / "prototypes.png", size=20)
    assert keras.utils.img_to_array(keras.utils.load_img(path)).shape == (111, 20, 3), "captions"

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.pictures(), model.pictures())
    alone = keras.models.load_model(model.export_classifier(tmp_path / "classifier", format="keras"))
    np.testing.assert_allclose(alone.predict(images(5), verbose=0), model.classify(images(5)), atol=1e-5)


def test_it_trains_on_episodes_of_some_classes():
    pictures, classes = colored()
    model = make("PrototypicalNetwork", shots=2)
    model.compile(keras.optimizers.SGD(0.01))
    episodes = kerassl.data.Episodes(pictures, classes, ways=2, shots=2, queries=3, episodes=3)
    history = model.fit(episodes, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and int(model.clock.step) == 6
    # Settled on all images, drawn or not.
    assert (numpy(model.classifier.mass) > 0).all() and model.pictures().shape == (3, 16, 16, 3)


def test_what_validation_is_kept_for_does_not_make_means():
    pictures, classes = colored(40)
    model = make("PrototypicalNetwork")
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(pictures, classes, validation_split=0.5, batch_size=10, verbose=0)
    nearest = NearestMean(model, "none").add(pictures[:20], classes[:20])
    np.testing.assert_allclose(numpy(model.classifier.prototypes).T, nearest.means.means, atol=1e-4)


def test_what_does_not_fit_is_named():
    model = make("PrototypicalNetwork", views=None)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(ready_views("PrototypicalNetwork"), np.arange(8) % 3, batch_size=8, verbose=0)
    with pytest.raises(ValueError, match="no pictures of its prototypes yet: fit raw images, or call settle"):
        model.explain(ready_views("PrototypicalNetwork")[0][0])
    with pytest.raises(ValueError, match="Labels are needed"):
        make("PrototypicalNetwork").finalize_prototypes(images(8))
