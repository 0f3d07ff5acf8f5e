"""Out-of-distribution detection: distances from training features, and how well they tell others apart."""

import numpy as np

from kerassl.evaluation.knn import nearest
from kerassl.evaluation.linear import fit_linear_probe
from kerassl.metrics.checks import check_count, check_number
from kerassl.metrics.features import (
    check_array,
    check_features,
    check_one_width,
    drop_unlabeled,
    l2_normalize,
)


def mahalanobis(
    train_features: np.ndarray, features: np.ndarray, train_labels: np.ndarray | None = None
) -> np.ndarray:
    """Returns the squared Mahalanobis distance of each feature from the training features.

    Without labels these are one Gaussian; with labels one a class, with a covariance that all share, and the
    distance is that to the nearest. Directions in which they do not vary do not count.

    Source: arXiv 1807.03888 for classes; SSD, arXiv 2103.12051, which PALM (arXiv 2402.02653)
    takes with one Gaussian of features of length one.

    Args:
        train_features: `(train, dim)`.
        features: `(number, dim)`.
        train_labels: `(train,)` integers, rows of -1 left out; or `None`.

    Returns:
        `(number,)` float32, at least 0; larger is less like the training features.

    Raises:
        ValueError: features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import mahalanobis
        >>> train = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
        >>> mahalanobis(train, np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])).tolist()
        [0.0, 2.0, 2.0]
    """
    train, labels, features = _check(train_features, train_labels, features)
    if labels is None:
        labels = np.zeros(len(train), "int64")
    train, labels = drop_unlabeled(train.astype("float64"), labels, "train_labels")
    classes, own = np.unique(labels, return_inverse=True)
    means = np.stack([train[own == index].mean(0) for index in range(len(classes))])
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov((train - means[own]).T, bias=True)))
    varies = variances > 1e-12 * variances[-1]
    whitening = directions[:, varies] / np.sqrt(variances[varies])
    middle = train.mean(0)
    white, centers = (features - middle) @ whitening, (means - middle) @ whitening
    distances = (white**2).sum(1)[:, None] + (centers**2).sum(1) - 2 * white @ centers.T
    return np.maximum(distances.min(1), 0).astype("float32")


def neighbor_distance(train_features: np.ndarray, features: np.ndarray, k: int = 50) -> np.ndarray:
    """Returns the distance of each feature from its k-th nearest training feature, all of length one.

    Source: Out-of-Distribution Detection with Deep Nearest Neighbors, arXiv 2204.06507, equation 1; k is 50
    for CIFAR-10, 200 for CIFAR-100, 1000 for ImageNet in the paper.

    Args:
        train_features: `(train, dim)`.
        features: `(number, dim)`.
        k: the neighbor, at most `train`.

    Returns:
        `(number,)` float32 in [0, 2]; larger is less like the training features.

    Raises:
        ValueError: k out of range, or features that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import neighbor_distance
        >>> neighbor_distance(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [-3.0, 0.0]]), k=1).tolist()
        [0.0, 2.0]
    """
    train, _, features = _check(train_features, None, features)
    check_count("k", k, most=len(train), mend="There are no more training features.")
    cosines, _ = nearest(train, features, k)
    return np.sqrt(np.maximum(2 - 2 * cosines.min(1), 0))


def ood_detection(
    train_features: np.ndarray,
    test_features: np.ndarray,
    ood_features: np.ndarray,
    train_labels: np.ndarray | None = None,
    k: int = 50,
    l2: float = 1e-3,
) -> dict[str, float]:
    """Returns how well scores of the training features tell another data set from test images.

    The scores: `mahalanobis` (of features of length one, of classes where there are labels),
    `neighbor_distance`, and with labels of two classes the largest probability that a linear probe gives
    (arXiv 1610.02136), negated. All are fitted on the training features; no threshold is.

    Args:
        train_features: `(train, dim)`.
        test_features: `(test, dim)` of the same distribution.
        ood_features: `(number, dim)` of another.
        train_labels: `(train,)` integers, -1 for unlabeled; or `None`.
        k: of `neighbor_distance`; all training features if there are fewer.
        l2: penalty of the linear probe.

    Returns:
        `{"OOD Mahalanobis AUROC": number, "OOD Mahalanobis FPR95": number, "OOD kNN k50 AUROC": ...}`, all in
        [0, 1].

    Raises:
        ImportError: scikit-learn is missing, for the linear probe.
        ValueError: features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import ood_detection
        >>> rng = np.random.default_rng(0)
        >>> train, test = rng.normal(size=(2, 60, 3)) * 0.1 + [1, 0, 0]
        >>> scores = ood_detection(train, test, -test, k=5)
        >>> scores["OOD Mahalanobis AUROC"], scores["OOD kNN k5 FPR95"]
        (1.0, 0.0)
    """
    train, labels, test = _check(train_features, train_labels, test_features, "test_features")
    _, _, outliers = _check(train_features, None, ood_features, "ood_features")
    check_number("l2", l2, above=0)
    unit = l2_normalize(train)
    both = np.concatenate([test, outliers])
    k = min(check_count("k", k), len(train))
    labeled = labels is not None and len(np.unique(labels[labels >= 0])) > 1
    scores = {
        "Mahalanobis": mahalanobis(unit, l2_normalize(both), labels if labeled else None),
        f"kNN k{k}": neighbor_distance(train, both, k),
    }
    if labeled:
        scores["probability"] = -fit_linear_probe(train, labels, l2).probabilities(both).max(1)
    results = {}
    for name, values in scores.items():
        parts = values[: len(test)], values[len(test) :]
        results[f"OOD {name} AUROC"] = auroc(*parts)
        results[f"OOD {name} FPR95"] = fpr_at_tpr(*parts)
    return results


def auroc(inlier_scores: np.ndarray, outlier_scores: np.ndarray) -> float:
    """Returns the probability that an outlier has the larger score; equal scores count one half.

    Args:
        inlier_scores: `(n,)`, larger if less similar to the training data.
        outlier_scores: `(m,)`.

    Returns:
        The area under the ROC curve in [0, 1]; 0.5 tells nothing.

    Raises:
        ValueError: no scores, or some that are not finite.

    Example:
        >>> from kerassl.evaluation import auroc
        >>> auroc([1.0, 2.0], [2.0, 3.0])
        0.875
    """
    inliers, outliers = _check_scores(inlier_scores, outlier_scores)
    inliers = np.sort(inliers)
    below, up_to = (np.searchsorted(inliers, outliers, side) for side in ("left", "right"))
    return float(np.mean((below + up_to) / 2) / len(inliers))


def fpr_at_tpr(inlier_scores: np.ndarray, outlier_scores: np.ndarray, tpr: float = 0.95) -> float:
    """Returns the share of outliers taken for inliers where a share `tpr` of the inliers is: FPR95.

    Args:
        inlier_scores: `(n,)`, larger if less similar to the training data.
        outlier_scores: `(m,)`.
        tpr: smallest share of inliers that must count as inliers, in (0, 1].

    Returns:
        A share in [0, 1]; lower is better.

    Raises:
        ValueError: no scores, some that are not finite, or a share outside (0, 1].

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import fpr_at_tpr
        >>> fpr_at_tpr(np.arange(100), [50, 94, 95, 200])
        0.5
    """
    inliers, outliers = _check_scores(inlier_scores, outlier_scores)
    check_number("tpr", tpr, above=0, most=1, mend="0.95 is usual.")
    # The smallest threshold that accepts enough; 0.95 of 100 is 95 despite rounding.
    needed = int(np.ceil(round(tpr * len(inliers), 6)))
    return float(np.mean(outliers <= np.sort(inliers)[needed - 1]))


def _check(
    train_features: np.ndarray, train_labels: np.ndarray | None, features: np.ndarray, name: str = "features"
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    train, labels = check_features(train_features, train_labels, "train_features")
    features, _ = check_features(features, None, name)
    check_one_width(train, "train_features", features, name)
    return train, labels, features


def _check_scores(inlier_scores: np.ndarray, outlier_scores: np.ndarray) -> list[np.ndarray]:
    checked = []
    for name, scores in (("inlier_scores", inlier_scores), ("outlier_scores", outlier_scores)):
        scores = check_array(name, scores, ("number",)).astype("float64")
        if not np.isfinite(scores).all():
            raise ValueError(f"{name} must be finite; {int((~np.isfinite(scores)).sum())} are not.")
        checked.append(scores)
    return checked
