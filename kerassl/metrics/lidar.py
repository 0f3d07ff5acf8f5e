"""LiDAR: the number of directions in which images differ by more than their views vary."""

import numpy as np

from kerassl.metrics.checks import check_number
from kerassl.metrics.features import check_array


def lidar(features: np.ndarray, delta: float = 1e-4, epsilon: float = 1e-8) -> float:
    """Returns LiDAR, the effective rank of the discriminant analysis of images against their views.

    Each image is a class of its own, whose samples are its views. With S_b the covariance of the images'
    means and S_w that of the views about them plus `delta` I, LiDAR is the exponential of the entropy of `p =
    (l + epsilon) / sum(l + epsilon)`, l being the eigenvalues of `S_w^-1/2 S_b S_w^-1/2`. It is between 1 and
    the number of dimensions; images with equal means have 1, where the equation gives its largest value.

    Unlike RankMe it does not change, but for `delta`, under any invertible linear map of the features.

    Source: LiDAR (arXiv:2312.04000, section 4). No official code was found.

    Args:
        features: `(images, views, dim)` embeddings of augmented views; the paper takes 1000 images of 50
            views. More images than dimensions, and at least two views, are needed for a meaningful value.
        delta: added to the diagonal of S_w; positive.
        epsilon: added to each eigenvalue; positive.

    Raises:
        ValueError: fewer than two images or views, features that are not finite, a delta or epsilon <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import lidar
        >>> noise = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> round(lidar(3 * noise[:, None] + noise), 4)
        2.0
    """
    features = check_array("features", features, ("images", "views", "dim")).astype("float64")
    if min(features.shape[:2]) < 2:
        raise ValueError(
            "features must have shape (images, views, dim) with two images and two views at least; got shape "
            f"{features.shape}."
        )
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinite values: the encoder diverged or its input is broken.")
    check_number("delta", delta, above=0)
    check_number("epsilon", epsilon, above=0)
    images, views, dim = features.shape
    means = features.mean(1)
    between = means - means.mean(0)
    within = (features - means[:, None]).reshape(-1, dim)
    return lidar_of_scatters(
        between.T @ between / (images - 1), within.T @ within / (images * (views - 1)), delta, epsilon
    )


def lidar_of_scatters(
    between: np.ndarray, within: np.ndarray, delta: float = 1e-4, epsilon: float = 1e-8
) -> float:
    """Returns LiDAR of the covariance of images' means and the covariance of views about these.

    Args:
        between: `(dim, dim)`.
        within: `(dim, dim)`, without `delta`.
        delta: as in `lidar`.
        epsilon: as in `lidar`.

    Example:
        >>> import numpy as np
        >>> from kerassl.metrics.lidar import lidar_of_scatters
        >>> round(lidar_of_scatters(np.eye(3), np.eye(3)), 3)
        3.0
    """
    values, vectors = np.linalg.eigh(within + delta * np.eye(len(within)))
    root = vectors * values**-0.5
    eigenvalues = np.maximum(np.linalg.eigvalsh(root.T @ between @ root), 0.0)
    if eigenvalues.max() <= epsilon:
        return 1.0
    shares = (eigenvalues + epsilon) / np.sum(eigenvalues + epsilon)
    return float(np.exp(-np.sum(shares * np.log(shares))))
