import numpy as np
import pytest

from kerassl.evaluation import auroc, fpr_at_tpr, mahalanobis, neighbor_distance, ood_detection

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
    values, vectors = np.linalg.eigh(np.cov(train.T.astype("float64"), bias=True))
    white = (other - train.mean(axis=0, dtype="float64")) @ vectors / np.sqrt(values)
    np.testing.assert_allclose(mahalanobis(train, other), np.sum(white**2, axis=1), rtol=1e-6)
    # The mean over the training features themselves is their dimension, whatever the map.
    assert mahalanobis(train, train).mean() == pytest.approx(4, rel=1e-6)
    turned = RNG.normal(size=(4, 4)).astype("float32")
    np.testing.assert_allclose(
        mahalanobis(train @ turned, other @ turned), mahalanobis(train, other), rtol=2e-2
    )


def test_mahalanobis_of_classes_is_that_to_the_nearest():
    labels = np.arange(90) % 3
    means = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    train = means[labels] + RNG.normal(size=(90, 2))
    scores = mahalanobis(train, np.array([[10.0, 0.0], [5.0, 5.0]]), labels)
    centered = train - np.stack([train[labels == c].mean(axis=0) for c in range(3)])[labels]
    precision = np.linalg.inv(centered.T @ centered / 90)
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
    with pytest.raises(ValueError, match="4 dimensions but features 3"):
        mahalanobis(np.zeros((5, 4)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="inlier_scores must be"):
        auroc([], [1.0])
    with pytest.raises(ValueError, match="inlier_scores must be"):
        fpr_at_tpr([np.nan], [1.0])
    with pytest.raises(ValueError, match=r"tpr must be a finite number above 0"):
        fpr_at_tpr([1.0], [1.0], tpr=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_neighbor_distance_is_that_of_scikit_learn(seed):
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(seed)
    train, other = rng.normal(size=(80, 5)) + 1, 3 * rng.normal(size=(30, 5))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, other)]
    distances, _ = neighbors.NearestNeighbors(n_neighbors=7).fit(unit[0]).kneighbors(unit[1])
    np.testing.assert_allclose(neighbor_distance(train, other, k=7), distances[:, -1], atol=1e-5)
    with pytest.raises(ValueError, match="between 1 and 80; got 81"):
        neighbor_distance(train, other, k=81)


def test_detection_by_each_score():
    sklearn = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    train, test = (np.eye(3, 4)[labels] + 0.2 * rng.normal(size=(90, 4)) for _ in range(2))
    outliers = np.eye(4)[3] + 0.3 * rng.normal(size=(40, 4))
    found = ood_detection(train, test, outliers, labels, k=5)
    kinds = ("Mahalanobis", "kNN k5", "probability")
    assert list(found) == [f"OOD {kind} {name}" for kind in kinds for name in ("AUROC", "FPR95")]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test, outliers)]
    far = [mahalanobis(unit[0], x, labels) for x in unit[1:]]
    assert found["OOD Mahalanobis AUROC"] == pytest.approx(auroc(*far), abs=1e-3)
    near = [neighbor_distance(train, x, 5) for x in (test, outliers)]
    assert found["OOD kNN k5 FPR95"] == fpr_at_tpr(*near)
    standard = [(x - train.mean(0)) / train.std(0) for x in (train, test, outliers)]
    probe = sklearn.LogisticRegression(C=1 / (1e-3 * 90), max_iter=1000).fit(standard[0], labels)
    sure = [-probe.predict_proba(x).max(1) for x in standard[1:]]
    assert found["OOD probability AUROC"] == pytest.approx(auroc(*sure), abs=1e-3)
    # Without labels, or with one class, there is one Gaussian and no probe.
    one = ood_detection(train, test, outliers)
    assert one == ood_detection(train, test, outliers, 0 * labels)
    assert list(one)[2:] == ["OOD kNN k50 AUROC", "OOD kNN k50 FPR95"]
    assert one["OOD Mahalanobis AUROC"] == pytest.approx(auroc(*(mahalanobis(unit[0], x) for x in unit[1:])))
    with pytest.raises(ValueError, match="train_features have 4 dimensions but ood_features 3"):
        ood_detection(train, test, outliers[:, :3], labels)
