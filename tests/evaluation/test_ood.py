import numpy as np
import pytest

from kerassl.evaluation import auroc, fpr_at_tpr, mahalanobis

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rounded", (False, True))
def test_scores_are_scikit_learns(rounded):
    metrics = pytest.importorskip("sklearn.metrics")
    inliers, outliers = RNG.normal(size=73), 1 + 1.5 * RNG.normal(size=41)
    if rounded:
        # With many equal scores.
        inliers, outliers = inliers.round(), outliers.round()
    is_outlier, scores = np.repeat([0, 1], [73, 41]), np.concatenate([inliers, outliers])
    assert auroc(inliers, outliers) == pytest.approx(metrics.roc_auc_score(is_outlier, scores))
    taken_wrongly, taken, _ = metrics.roc_curve(1 - is_outlier, -scores, drop_intermediate=False)
    for tpr in (0.5, 0.95, 1.0):
        expected = taken_wrongly[np.flatnonzero(taken >= tpr - 1e-9)[0]]
        assert fpr_at_tpr(inliers, outliers, tpr) == pytest.approx(expected)


def test_scores_at_their_ends():
    assert auroc([0, 1], [2, 3]) == 1.0 and auroc([2, 3], [0, 1]) == 0.0 and auroc([1, 1], [1]) == 0.5
    assert fpr_at_tpr([0, 1], [2, 3]) == 0.0 and fpr_at_tpr([2, 3], [0, 1]) == 1.0


def test_mahalanobis_is_the_distance_after_whitening():
    train = (RNG.normal(size=(200, 4)) @ RNG.normal(size=(4, 4)) + 3).astype("float32")
    other = (3 * RNG.normal(size=(7, 4))).astype("float32")
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    white = (other - train.mean(axis=0)) @ vectors / np.sqrt(values)
    np.testing.assert_allclose(mahalanobis(train, other), np.sum(white**2, axis=1), rtol=1e-3)
    # The mean over the training features themselves is their dimension, whatever the map.
    assert mahalanobis(train, train).mean() == pytest.approx(4, rel=1e-3)
    turned = RNG.normal(size=(4, 4)).astype("float32")
    np.testing.assert_allclose(
        mahalanobis(train @ turned, other @ turned), mahalanobis(train, other), rtol=2e-2
    )


def test_mahalanobis_of_classes_is_that_to_the_nearest():
    labels = np.arange(90) % 3
    means = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    train = means[labels] + RNG.normal(size=(90, 2))
    scores = mahalanobis(train, np.array([[10.0, 0.0], [5.0, 5.0]]), labels)
    centred = train - np.stack([train[labels == c].mean(axis=0) for c in range(3)])[labels]
    precision = np.linalg.inv(centred.T @ centred / 90)
    near = [x - train[labels == 1].mean(axis=0) for x in ([10.0, 0.0],)]
    assert scores[0] == pytest.approx(near[0] @ precision @ near[0], rel=1e-3)
    assert scores[1] > 20 > 1 > scores[0]
    # Rows of -1 are left out.
    more = np.concatenate([train, [[99.0, 99.0]]])
    again = mahalanobis(more, np.array([[5.0, 5.0]]), np.append(labels, -1))
    assert again[0] == pytest.approx(scores[1], rel=1e-4)


def test_directions_without_variance_do_not_count():
    train = np.stack([RNG.normal(size=50), np.ones(50)], axis=1)
    assert np.isfinite(mahalanobis(train, np.array([[0.0, 5.0]]))).all()


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="4 dimensions but the others 3"):
        mahalanobis(np.zeros((5, 4)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="Finite scores"):
        auroc([], [1.0])
    with pytest.raises(ValueError, match="Finite scores"):
        fpr_at_tpr([np.nan], [1.0])
    with pytest.raises(ValueError, match=r"tpr=0 must be in \(0, 1\]"):
        fpr_at_tpr([1.0], [1.0], tpr=0)
