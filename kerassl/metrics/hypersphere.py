"""How features lie on the sphere: uniformity, alignment, tolerance."""

from collections.abc import Iterator

import numpy as np

from kerassl.metrics.checks import check_number
from kerassl.metrics.features import check_features, check_labeled

CHUNK = 1024


def uniformity(features: np.ndarray, t: float = 2.0) -> float:
    """Returns `log mean_xy exp(-t |x - y|^2)` of the unit features, the lower the more uniform.

    The mean is over all ordered pairs, each feature with itself included; 0 if all features are equal, also
    if they are all zero.

    Source: Wang and Isola, arXiv 2005.10242, equation 2, who leave the pairs of a feature with itself out;
    with them in Wang and Liu, Understanding the Behaviour of Contrastive Loss, arXiv 2012.09740.

    Args:
        features: `(number, dim)`.
        t: positive number.

    Raises:
        ValueError: features of a wrong shape or not finite, a t <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import uniformity
        >>> round(uniformity(np.array([[1.0, 0.0], [-2.0, 0.0]])), 4)
        -0.6928
    """
    check_number("t", t, above=0, mend="The paper takes 2.")
    features, _ = check_features(features, None, "features")
    unit = _unit(features)
    # Half of |x|^2 + |y|^2, where a feature of zeros has no length; the largest exponent is 0.
    length = np.any(unit, axis=1).astype("float64")
    total = 0.0
    for start, products in _products(unit):
        halves = (length[start : start + CHUNK, None] + length) / 2
        total += np.exp(2 * t * (products - halves)).sum()
    return float(np.log(total / len(unit) ** 2))


def alignment(features: np.ndarray, partners: np.ndarray, alpha: float = 2.0) -> float:
    """Returns the mean of `|x - y|^alpha` over pairs of unit features of one image, the lower the closer.

    Source: Wang and Isola, arXiv 2005.10242, equation 1.

    Args:
        features: `(number, dim)`.
        partners: `(number, dim)`, row i from the same image as row i of `features`.
        alpha: positive number.

    Raises:
        ValueError: features of wrong shapes or not finite.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import alignment
        >>> alignment(np.array([[1.0, 0.0]]), np.array([[0.0, 3.0]]))
        2.0
    """
    check_number("alpha", alpha, above=0, mend="The paper takes 2.")
    features, _ = check_features(features, None, "features")
    partners, _ = check_features(partners, None, "partners")
    if features.shape != partners.shape:
        raise ValueError(
            f"partners must have the shape of features, {features.shape}, row by row; got {partners.shape}."
        )
    squared = np.sum(np.square(_unit(features) - _unit(partners)), axis=1)
    return float(np.round(np.mean(squared ** (alpha / 2)), 12))


def tolerance(features: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean of `<x, y> 1(same class)` over all ordered pairs of unit features.

    How near a loss lets images of one class be; the mean is over all pairs, not only those of one class, so
    that equal features have the probability that two images share their class.

    Source: Wang and Liu, Understanding the Behaviour of Contrastive Loss, arXiv 2012.09740.

    Args:
        features: `(number, dim)`.
        labels: `(number,)` integers; entries of -1 are left out.

    Raises:
        ValueError: features or labels of a wrong shape or not finite, or no label.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import tolerance
        >>> tolerance(np.ones((4, 2)), np.array([0, 0, 1, 1]))
        0.5
    """
    features, labels = check_labeled(features, labels, "features")
    unit = _unit(features)
    total = 0.0
    for label in np.unique(labels):
        # The sum of all inner products of a class is the squared norm of its sum.
        total += np.sum(np.square(unit[labels == label].sum(axis=0)))
    return float(np.round(total / len(unit) ** 2, 12))


def _unit(features: np.ndarray) -> np.ndarray:
    features = features.astype("float64")
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _products(unit: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Inner products of a chunk of rows with all, so that no (number, number) matrix is held."""
    for start in range(0, len(unit), CHUNK):
        yield start, unit[start : start + CHUNK] @ unit.T
