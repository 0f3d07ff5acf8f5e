import keras
import numpy as np
import pytest
from tiny import images, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl.classifiers import PrototypeDL

pytestmark = pytest.mark.backends("torch")

TINY = {
    "PrototypeDL": {"arguments": {"num_prototypes": 5, "latent_dim": 6, "decoder_width": 4}, "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def bright(n=60, seed=0):
    """Images whose class is their brightness."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, n)
    pictures = np.clip(80 * classes[:, None, None, None] + rng.normal(0, 20, (n, 16, 16, 3)), 0, 255)
    return pictures.astype("uint8"), classes


def test_terms_are_those_of_the_paper():
    model = make("PrototypeDL", prototype_weight=0.5, latent_weight=2.0, reconstruction_weight=3.0)
    batch, labels = images(8), np.array([0, 1, 2, -1, 0, 1, 2, -1])
    view = model.preprocess(batch)
    terms, rest = terms_and_rest(model, (view,), labels)
    _, latents = model.features_and_latents(view, True)
    points = numpy(model.prototypes.prototypes).T
    distances = np.sum((numpy(latents)[:, None] - points) ** 2, axis=-1)
    assert float(terms["nearest_image"]) == pytest.approx(0.5 * distances.min(axis=0).mean(), rel=1e-3)
    assert float(terms["nearest_prototype"]) == pytest.approx(2 * distances.min(axis=1).mean(), rel=1e-3)
    np.testing.assert_allclose(rest["logits"].detach(), distances @ numpy(model.classifier.kernel), atol=1e-4)
    # In units of images in [0, 1], whatever the normalization.
    made = numpy(model.views.preprocess.normalize.invert(model.decoder(latents)))
    error = np.mean(np.sum((made - batch / 255) ** 2, axis=(1, 2, 3)))
    assert float(terms["reconstruction"]) == pytest.approx(3 * error, rel=1e-3)


def test_it_learns_and_draws_its_prototypes(tmp_path):
    pictures, classes = bright()
    model = make("PrototypeDL")
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(pictures, classes, batch_size=20, epochs=12, verbose=0).history
    assert history["reconstruction"][-1] < 0.5 * history["reconstruction"][0]
    assert np.mean(model.classify(pictures).argmax(axis=1) == classes) > 0.8
    drawn = model.pictures()
    assert drawn.shape == (5, 16, 16, 3) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, model.draw(numpy(model.prototypes.prototypes).T))
    explanation = model.explain(pictures[0], count=9)
    assert len(explanation.classes) == 5 and explanation.maps is None
    assert (np.diff(explanation.similarities) <= 0).all() and explanation.similarities[0] <= 0
    assert (model.prototype_classes == numpy(model.classifier.kernel).argmin(axis=1)).all()
    assert model.save_pictures(tmp_path / "prototypes.png").exists()
    alone = keras.models.load_model(model.export_classifier(tmp_path / "classifier", format="keras"))
    np.testing.assert_allclose(alone.predict(images(5), verbose=0), model.classify(images(5)), atol=1e-5)


def test_a_feature_map_is_taken_whole_and_ready_views_are_drawn():
    model = PrototypeDL(tiny_encoder(pool=False), views=None, num_classes=3, decoder_width=4)
    assert model.to_latent.input_shape == (None, 4, 4, 16) and model.feature_dim == 16
    features, logits = model.features_and_logits(ready_views("PrototypeDL")[0], False)
    assert features.shape == (8, 16) and logits.shape == (8, 3)
    drawn = model.pictures()
    assert drawn.min() == 0 and drawn.max() == 255


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="needs an encoder of known output shape"):
        encoder = kerassl.backbones.resnet18((None, None, 3), width=4, pool=None)
        PrototypeDL(encoder, views=kerassl.views.preset("unaugmented", 32), num_classes=3)
