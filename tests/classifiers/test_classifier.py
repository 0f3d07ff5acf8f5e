import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, tiny_encoder

import kerassl
from kerassl.classifiers import Classifier

TINY = {
    "Classifier": {"sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_it_learns_the_labels_and_its_accuracy_is_that_of_classify():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 60)
    pictures = np.clip(80 * classes[:, None, None, None] + rng.normal(0, 20, (60, 16, 16, 3)), 0, 255)
    pictures = pictures.astype("uint8")
    model = make("Classifier")
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(pictures, classes, batch_size=20, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    probabilities = model.classify(pictures, batch_size=16)
    assert probabilities.shape == (60, 3) and probabilities.dtype == "float32"
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    hits = np.mean(probabilities.argmax(axis=1) == classes)
    assert hits > 0.9
    assert model.evaluate(pictures, classes, verbose=0)["accuracy"] == pytest.approx(hits, abs=1e-6)


def test_unlabeled_images_move_nothing_and_count_nothing():
    model = make("Classifier", views=None)
    model.compile(keras.optimizers.SGD(0.1))
    before = [numpy(v) for v in model.trainable_variables]
    views, classes = ready_views("Classifier"), np.full(8, -1)
    model.fit(views, classes, batch_size=8, verbose=0)
    for old, new in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, numpy(new))
    classes[:2] = numpy(model.features_and_logits(views[0][:2], False)[1]).argmax(-1)
    assert model.evaluate(views, classes, batch_size=8, verbose=0)["accuracy"] == 1.0


def test_what_cannot_be_learned_from_is_named():
    with pytest.raises(ValueError, match="Classifier needs num_classes >= 2, got None"):
        Classifier(tiny_encoder())
    model = make("Classifier")
    model.compile()
    with pytest.raises(ValueError, match="Classifier learns from labels, and the data has none"):
        model.fit(images(8), batch_size=8, verbose=0)


def test_an_exported_classifier_gives_the_same_probabilities(tmp_path):
    model = make("Classifier")
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(images(16), labels(16), batch_size=8, verbose=0)
    path = model.export_classifier(tmp_path / "classifier", format="keras")
    alone = keras.models.load_model(path)
    assert isinstance(alone.layers[1], kerassl.views.Preprocess)
    np.testing.assert_allclose(alone.predict(images(5), verbose=0), model.classify(images(5)), atol=1e-5)
