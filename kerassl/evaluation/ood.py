"""Out-of-distribution detection: a distance from training features, and how well it tells others apart."""

import numpy as np

from kerassl.evaluation.features import check_features, drop_unlabelled


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
    train, labels = check_features(train_features, train_labels, "train_features")
    features, _ = check_features(features, None, "features")
    if train.shape[1] != features.shape[1]:
        raise ValueError(
            f"Training features have {train.shape[1]} dimensions but the others {features.shape[1]}. Embed "
            "both with the same encoder."
        )
    if labels is None:
        labels = np.zeros(len(train), "int64")
    train, labels = drop_unlabelled(train.astype("float64"), labels)
    classes, own = np.unique(labels, return_inverse=True)
    means = np.stack([train[own == index].mean(0) for index in range(len(classes))])
    precision = np.linalg.pinv(np.atleast_2d(np.cov((train - means[own]).T, bias=True)), hermitian=True)
    distances = []
    for mean in means:
        centred = features.astype("float64") - mean
        distances.append(np.einsum("nd,nd->n", centred @ precision, centred))
    return np.maximum(np.min(distances, axis=0), 0).astype("float32")


def auroc(inlier_scores: np.ndarray, outlier_scores: np.ndarray) -> float:
    """Returns the probability that an outlier has the larger score; equal scores count one half.

    Args:
        inlier_scores: `(n,)`, larger for what is less like the training data.
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
        inlier_scores: `(n,)`, larger for what is less like the training data.
        outlier_scores: `(m,)`.
        tpr: share of the inliers, at least, that are to be taken for inliers, in (0, 1].

    Returns:
        A share in [0, 1]; lower is better.

    Raises:
        ValueError: no scores, some that are not finite, or a share outside of (0, 1].

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import fpr_at_tpr
        >>> fpr_at_tpr(np.arange(100), [50, 94, 95, 200])
        0.5
    """
    inliers, outliers = _check_scores(inlier_scores, outlier_scores)
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr={tpr} must be in (0, 1]; 0.95 is usual.")
    # The smallest threshold that takes in enough; 0.95 of 100 are 95, whatever floats make of it.
    needed = int(np.ceil(round(tpr * len(inliers), 6)))
    return float(np.mean(outliers <= np.sort(inliers)[needed - 1]))


def _check_scores(*scores: np.ndarray) -> list[np.ndarray]:
    checked = [np.asarray(part, "float64").reshape(-1) for part in scores]
    for part in checked:
        if not len(part) or not np.isfinite(part).all():
            raise ValueError("Finite scores of inliers and of outliers are needed, at least one of each.")
    return checked
