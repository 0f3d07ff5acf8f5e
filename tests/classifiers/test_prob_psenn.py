import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest

from kerassl.classifiers import ProbPSENN
from kerassl.classifiers.prob_psenn import GaussianPrototypes

pytestmark = pytest.mark.backends("torch")

TINY = {
    "ProbPSENN": {
        "arguments": {"num_draws": 3, "latent_dim": 6, "decoder_width": 4},
        "sizes": (16,),
        "without_chance": {},
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_distances_are_those_of_drawn_points():
    head = GaussianPrototypes(4, 3, num_draws=5, std=0.5)
    z, noise = np.random.default_rng(0).normal(size=(2, 4)), np.random.default_rng(1).normal(size=(5, 4, 3))
    points = numpy(head.prototypes) + 0.5 * noise
    expected = np.sum((z[:, None, :, None] - points) ** 2, axis=2)
    np.testing.assert_allclose(numpy(head(z, noise)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(numpy(head(z)), numpy(head(z, head.draws)), rtol=1e-6)


def test_terms_are_means_over_the_draws():
    model = make("ProbPSENN", reconstruction_weight=2.0, latent_weight=0.5)
    noise = np.random.default_rng(0).normal(size=(3, 6, 3)).astype("float32")
    model.draw_noise = lambda training: noise
    batch, classes = images(6), np.array([0, 1, 2, -1, 0, 1])
    view = model.preprocess(batch)
    terms, rest = terms_and_rest(model, (view,), classes)
    _, latents = model.features_and_latents(view, True)
    z, means = numpy(latents).astype("float64"), numpy(model.prototypes.prototypes).T
    distances = np.sum((z[:, None, None] - (means + 0.1 * noise.transpose(0, 2, 1))) ** 2, axis=-1)
    p = softmax(-0.5 * distances)
    known = classes >= 0
    expected = -np.log(p[known][np.arange(5), :, classes[known]]).mean()
    assert float(terms["cross_entropy"]) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(numpy(rest["logits"]), np.log(p.mean(axis=1)), atol=1e-4)
    standard = (z[known] - means[classes[known]]) / 0.1
    nll = 0.5 * (standard**2).sum(axis=1) + 6 * (np.log(0.1) + 0.5 * np.log(2 * np.pi))
    assert float(terms["prototype_nll"]) == pytest.approx(0.5 * np.clip(nll, -1, 1e4).mean(), rel=1e-3)
    made = numpy(model.views.preprocess.normalize.invert(model.decoder(latents)))
    assert float(terms["reconstruction"]) == pytest.approx(2 * np.mean((made - batch / 255) ** 2), rel=1e-3)


def test_without_spread_it_is_sure_of_what_it_says():
    model, pictures = make("ProbPSENN"), images(6)
    split = model.uncertainty(pictures, batch_size=4)
    assert all(part.shape == (6,) and (part >= 0).all() for part in split.values())
    np.testing.assert_allclose(split["aleatoric"] + split["epistemic"], split["total"], atol=1e-5)
    entropy = -np.sum(model.classify(pictures) * np.log(model.classify(pictures)), axis=1)
    np.testing.assert_allclose(split["total"], entropy, rtol=1e-4)
    model.prototypes.log_stds.assign(np.full((6, 3), -30, "float32"))
    split = model.uncertainty(pictures)
    np.testing.assert_allclose(split["epistemic"], 0, atol=1e-5)
    distances = -numpy(model.similarity_maps(model.preprocess(pictures)))[:, 0, 0]
    np.testing.assert_allclose(model.classify(pictures), softmax(-0.5 * distances), atol=1e-4)
    model.prototypes.log_stds.assign(np.full((6, 3), 1, "float32"))
    assert (model.uncertainty(pictures)["epistemic"] > 1e-3).all()


def test_draws_are_new_in_each_step_and_one_for_predictions(tmp_path):
    model = make("ProbPSENN")
    first = numpy(model.draw_noise(True))
    model.clock.step.assign(1)
    assert np.abs(numpy(model.draw_noise(True)) - first).min() > 0 and model.draw_noise(False) is None
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(images(16), labels(16), batch_size=8, verbose=0)
    np.testing.assert_array_equal(model.classify(images(5)), model.classify(images(5)))
    alone = keras.models.load_model(model.export_classifier(tmp_path / "classifier", format="keras"))
    np.testing.assert_allclose(alone.predict(images(5), verbose=0), model.classify(images(5)), atol=1e-5)
    explanation = model.explain(images(1)[0])
    assert len(explanation.classes) == 3 and explanation.maps is None
    assert model.pictures().shape == (3, 16, 16, 3)
    samples = model.sampled_pictures(4)
    assert samples.shape == (3, 4, 16, 16, 3) and np.ptp(samples, axis=1).max() > 0


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="ProbPSENN needs num_classes >= 2, got None"):
        ProbPSENN(make("ProbPSENN").encoder)
    model = make("ProbPSENN", views=None)
    model.compile()
    with pytest.raises(ValueError, match="ProbPSENN learns from labels"):
        model.fit(ready_views("ProbPSENN"), batch_size=8, verbose=0)
