"""DirectPred, DirectSet and DirectCopy: what the predictor is set to, and when."""

import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "DirectPred": {"arguments": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9}},
    "DirectSet": {"arguments": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9}},
    "DirectCopy": {"arguments": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9}},
}


NAMES = ("DirectPred", "DirectSet", "DirectCopy")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def models():
    """One of each; `predictor_of` reads nothing of them but their arguments."""
    return {name: make(name, views=None) for name in NAMES}


def predictor_of(model, correlation):
    return numpy(model.predictor_of(keras.ops.convert_to_tensor(np.asarray(correlation, "float32"))))


def correlation_matrix(seed=0, rows=12):
    f = np.random.default_rng(seed).normal(size=(rows, 8)) * np.linspace(0.2, 2, 8) + 0.3
    return f.T @ f / rows


def eigenvalues_of(name, s, model):
    relative = {"DirectPred": np.sqrt(s / s.max()), "DirectSet": s / s.max()}
    return relative.get(name, s / np.sqrt(np.sum(s**2))) + model.arguments.boost


@pytest.mark.parametrize("name", NAMES)
def test_the_predictor_has_the_papers_eigenvalues_and_those_eigenvectors(models, name):
    correlation = correlation_matrix()
    s, q = np.linalg.eigh(correlation)
    expected = sum(
        w * np.outer(v, v) for w, v in zip(eigenvalues_of(name, s, models[name]), q.T, strict=True)
    )
    predictor = predictor_of(models[name], correlation)
    np.testing.assert_allclose(predictor, expected, atol=2e-6)
    np.testing.assert_allclose(predictor, predictor.T, atol=1e-6)
    np.testing.assert_allclose(predictor @ correlation, correlation @ predictor, atol=1e-5)
    if name != "DirectCopy":
        assert np.linalg.eigvalsh(predictor).max() == pytest.approx(
            1 + models[name].arguments.boost, rel=1e-5
        )


@pytest.mark.parametrize("name", NAMES)
def test_special_correlations(models, name):
    model = models[name]
    one = np.ones(8) / np.sqrt(8)
    boost = model.arguments.boost * np.eye(8)
    np.testing.assert_allclose(
        predictor_of(model, 7 * np.outer(one, one)), np.outer(one, one) + boost, atol=1e-3
    )
    isotropic = predictor_of(model, 3 * np.eye(8))
    np.testing.assert_allclose(isotropic, isotropic[0, 0] * np.eye(8), atol=1e-6)
    np.testing.assert_allclose(predictor_of(model, np.zeros((8, 8))), boost, atol=1e-6)
    huge = predictor_of(model, 1e6 * correlation_matrix())
    np.testing.assert_allclose(huge, predictor_of(model, correlation_matrix()), atol=1e-5)


def test_direct_set_of_one_half_is_direct_pred(models):
    half = make("DirectSet", views=None, exponent=0.5, boost=0.01)
    np.testing.assert_array_equal(
        predictor_of(half, correlation_matrix()), predictor_of(models["DirectPred"], correlation_matrix())
    )


def test_the_loss_is_byols_of_predictions_by_the_matrix(models):
    model = models["DirectPred"]
    matrix = correlation_matrix(3)
    model.predictor.assign(matrix)
    views = ready_views("DirectPred")

    def project(encoder, projector, view):
        return numpy(projector(encoder(view, training=True), training=True)).astype("float64")

    expected = 0.0
    for mine, other in ((0, 1), (1, 0)):
        p = project(model.encoder, model.projector, views[mine]) @ matrix
        z = project(model.teacher_encoder, model.teacher_projector, views[other])
        cosines = np.sum(p * z, axis=1) / np.linalg.norm(p, axis=1) / np.linalg.norm(z, axis=1)
        expected += np.mean(2 - 2 * cosines)
    assert float(terms_and_rest(model, views)[0]["byol"]) == pytest.approx(expected, rel=1e-5)
    # An isotropic matrix predicts what comes in.
    model.predictor.assign(0.3 * np.eye(8))
    without = float(terms_and_rest(model, views)[0]["byol"])
    model.predictor.assign(np.eye(8))
    assert float(terms_and_rest(model, views)[0]["byol"]) == pytest.approx(without, rel=1e-5)


def test_the_correlation_is_a_moving_average_that_only_the_batches_move():
    model = make("DirectPred", views=None, correlation_momentum=0.4)
    assert not {id(model.correlation), id(model.predictor)} & {id(v) for v in model.trainable_variables}
    # A rate of zero, so that only what the method sets moves.
    model.compile(kerassl.optimizers.AdamW(0.0, weight_decay=0.5))
    expected = None
    for epoch in range(2):
        views = ready_views("DirectPred", seed=epoch)
        z = np.concatenate(
            [numpy(model.projector(model.encoder(view, training=True), training=True)) for view in views]
        ).astype("float64")
        of_batch = np.mean([np.outer(row, row) for row in z], axis=0)
        expected = of_batch if expected is None else 0.4 * expected + 0.6 * of_batch
        model.fit(views, labels(8), batch_size=8, verbose=0)
        np.testing.assert_allclose(numpy(model.correlation), expected, rtol=1e-4, atol=1e-5)
        s, q = np.linalg.eigh(expected)
        predictor = (q * (np.sqrt(np.maximum(s, 0) / s.max()) + 0.01)) @ q.T
        np.testing.assert_allclose(numpy(model.predictor), predictor, atol=1e-4)
    before = numpy(model.correlation)
    model.after_update({"projections": keras.ops.full((16, 8), np.nan)})
    np.testing.assert_array_equal(numpy(model.correlation), before)
    np.testing.assert_allclose(numpy(model.predictor), predictor, atol=1e-4)


def test_direct_set_keeps_its_arguments():
    model = make("DirectSet", views=None, exponent=0.7, boost=0.2)
    loaded = type(model).from_config(model.get_config())
    assert (loaded.arguments.exponent, loaded.arguments.boost, loaded.arguments.projection_dim) == (
        0.7,
        0.2,
        8,
    )


def test_defaults_are_the_papers():
    model = kerassl.methods.DirectPred(tiny_encoder())
    assert (model.arguments.momentum, model.arguments.correlation_momentum, model.arguments.boost) == (
        0.996,
        0.3,
        0.01,
    )
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 512), (512, 128)]
