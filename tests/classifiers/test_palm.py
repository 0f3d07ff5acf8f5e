import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest

from kerassl import evaluation, losses
from kerassl.losses.supervised.palm import nearest_of_class

pytestmark = pytest.mark.backends("torch")

TINY = {
    "PALM": {"arguments": {"prototypes_per_class": 2, "projection_dim": 8, "momentum": 0.9}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def sinkhorn(scores, iterations=3):
    q = np.exp(scores / 0.05)
    for _ in range(iterations):
        q = q / q.sum(axis=0) / q.shape[1]
        q = q / q.sum(axis=1, keepdims=True) / q.shape[0]
    return q * q.shape[0]


def shares(q, chosen):
    kept = q * chosen
    return kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-30)


def test_terms_and_moved_prototypes_are_those_of_the_official_code():
    model = make("PALM", views=None, momentum=0.6, top_k=1, contrast_weight=0.5)
    views, classes = ready_views("PALM"), np.array([0, 1, 2, -1, 0, 1, 2, 0])
    terms, rest = terms_and_rest(model, views, classes)
    features = np.concatenate([numpy(part) for part in rest["features"]])
    z = unit(numpy(model.projector(features)).astype("float64"))
    known = np.tile(classes, 2) >= 0
    z, of_rows = z[known], np.tile(classes, 2)[known]
    p = numpy(model.classifier.prototypes).T.astype("float64")
    own = of_rows[:, None] == np.repeat(np.arange(3), 2)
    q = sinkhorn(z @ p.T)
    chosen = own & (q == np.where(own, q, 0).max(axis=1, keepdims=True))
    weights = shares(q, chosen)
    columns = weights / np.maximum(weights.sum(axis=0), 1e-30)
    moved = unit(0.6 * p + 0.4 * columns.T @ z)
    np.testing.assert_allclose(numpy(rest["moved"]), moved, atol=1e-4)
    a, logits = shares(sinkhorn(z @ moved.T), chosen), z @ moved.T / 0.1
    mle = np.mean(np.log(np.exp(logits).sum(axis=1)) - (a * logits).sum(axis=1))
    assert float(terms["palm"]) == pytest.approx(mle, rel=1e-3)
    contrast = losses.sup_con(moved.astype("float32"), np.repeat(np.arange(3), 2), 0.5)
    assert float(terms["prototype_contrast"]) == pytest.approx(0.5 * float(contrast), rel=1e-4)

    model.compile(keras.optimizers.SGD(0.0))
    model.fit(views, classes, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(numpy(model.classifier.prototypes).T, moved, atol=1e-4)
    assert not model.classifier.trainable_variables


def test_prototypes_begin_near_each_other_as_in_the_official_code():
    prototypes = numpy(make("PALM", prototypes_per_class=100, projection_dim=128).classifier.prototypes).T
    np.testing.assert_allclose(np.linalg.norm(prototypes, axis=1), 1, atol=1e-5)
    cosines = (prototypes @ prototypes.T)[np.triu_indices(len(prototypes), 1)]
    # Of uniform numbers x, y in [0, 1]: E[xy] / E[x^2] = (1/4) / (1/3).
    assert prototypes.min() >= 0 and cosines.mean() == pytest.approx(0.75, abs=0.01)


def test_a_momentum_of_one_keeps_the_prototypes():
    model = make("PALM", views=None, momentum=1.0)
    before = numpy(model.classifier.prototypes)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(ready_views("PALM"), labels(8), batch_size=8, verbose=0)
    np.testing.assert_allclose(numpy(model.classifier.prototypes), before, atol=1e-6)


def test_with_one_prototype_a_class_the_loss_is_the_cross_entropy_of_the_cosines():
    rng = np.random.default_rng(0)
    z, p, classes = rng.normal(size=(6, 4)), unit(rng.normal(size=(3, 4))), np.arange(6) % 3
    q = losses.sinkhorn(unit(z) @ p.T)
    weights = losses.mixture_weights(q, nearest_of_class(q, classes, np.arange(3), 1))
    np.testing.assert_allclose(numpy(weights), np.eye(3)[classes], atol=1e-6)
    expected = float(losses.cross_entropy(unit(z) @ p.T / 0.1, classes))
    assert float(losses.palm(z, weights, p)) == pytest.approx(expected, rel=1e-5)


def test_weights_are_of_the_most_assigned_of_the_own_class_and_sum_to_one():
    q = np.array([[0.1, 0.5, 0.2, 0.2], [0.3, 0.3, 0.1, 0.3], [0.25] * 4])
    classes = np.array([0, 0, 0, 1])
    chosen = numpy(nearest_of_class(q, np.array([0, 1, -1]), classes, 2))
    assert chosen.tolist() == [[False, True, True, False], [False, False, False, True], [False] * 4]
    weights = numpy(losses.mixture_weights(q, chosen))
    np.testing.assert_allclose(weights, [[0, 5 / 7, 2 / 7, 0], [0, 0, 0, 1], [0] * 4], atol=1e-6)
    # More are asked for than there are.
    assert numpy(nearest_of_class(q, np.array([0, 1, 0]), classes, 9)).sum(axis=1).tolist() == [3, 1, 3]
    # A row without a class counts nothing in the loss.
    z, p = np.random.default_rng(0).normal(size=(3, 2)), unit(np.random.default_rng(1).normal(size=(4, 2)))
    assert float(losses.palm(z, weights, p)) == pytest.approx(float(losses.palm(z[:2], weights[:2], p)))


def test_moved_prototypes_teach_the_embeddings_and_stay_where_none_came():
    from loss_helpers import value_and_grad

    p = unit(np.random.default_rng(0).normal(size=(3, 4))).astype("float32")
    weights = np.array([[1.0, 0, 0], [0.5, 0.5, 0]], "float32")
    moved = numpy(losses.moved_prototypes(p, np.ones((2, 4), "float32"), weights, 0.9))
    np.testing.assert_allclose(moved[2], p[2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(moved[0], unit(0.9 * p[0] + 0.1 * np.full(4, 0.5)), atol=1e-6)

    def first(z):
        return losses.moved_prototypes(p, z, weights, 0.9)[0, 0]

    _, (gradient,) = value_and_grad(first, np.random.default_rng(1).normal(size=(2, 4)))
    assert np.abs(gradient).max() > 1e-4


def test_it_learns_explains_and_tells_others_apart(tmp_path):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 60)
    pictures = np.clip(80 * classes[:, None, None, None] + rng.normal(0, 20, (60, 16, 16, 3)), 0, 255)
    pictures = pictures.astype("uint8")
    model = make("PALM", momentum=0.9)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(pictures, classes, batch_size=20, epochs=8, verbose=0)
    assert np.mean(model.classify(pictures).argmax(axis=1) == classes) > 0.7
    explanation = model.explain(pictures[0], count=3)
    assert explanation.maps is None and np.abs(explanation.similarities).max() <= 1.001
    assert model.pictures().shape == (6, 16, 16, 3)
    others = rng.integers(0, 256, (20, 16, 16, 3)).astype("uint8")
    inside, outside = (model.outlier_scores(pictures, x) for x in (pictures, others))
    assert evaluation.auroc(inside, outside) > 0.9
    trained, features = (evaluation.embed(model, x)[0] for x in (pictures, others))
    as_they_are = model.outlier_scores(pictures, others, normalize=False)
    np.testing.assert_allclose(as_they_are, evaluation.mahalanobis(trained, features), rtol=1e-4)
    assert np.abs(as_they_are - outside).max() > 1
    alone = keras.models.load_model(model.export_classifier(tmp_path / "classifier", format="keras"))
    np.testing.assert_allclose(alone.predict(images(5), verbose=0), model.classify(images(5)), atol=1e-5)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"weights has shape \(2, 2\), but 2 rows and 3 prototypes"):
        losses.palm(np.zeros((2, 4)), np.zeros((2, 2)), np.zeros((3, 4)))
