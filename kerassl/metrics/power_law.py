"""alpha-ReQ: how fast the spectrum of features decays."""

from typing import NamedTuple

import numpy as np

from kerassl.metrics.checks import check_count
from kerassl.metrics.features import check_features


class PowerLaw(NamedTuple):
    """The fit `log l_n = -alpha log n + c` of eigenvalues.

    Attributes:
        alpha: the exponent.
        r2: share of the variance of `log l_n` that the fit explains, with the fit's weights.
    """

    alpha: float
    r2: float


def eigenspectrum(features: np.ndarray) -> np.ndarray:
    """Returns the eigenvalues of the covariance of features as shares of their sum, the largest first.

    Args:
        features: `(number, dim)`.

    Returns:
        `(dim,)` float64; zeros if all features are equal.

    Raises:
        ValueError: features of a wrong shape or not finite.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import eigenspectrum
        >>> eigenspectrum(np.array([[2.0, 0], [-2, 0], [0, 1], [0, -1]])).tolist()
        [0.8, 0.2]
    """
    features, _ = check_features(features, None, "features")
    centered = features.astype("float64") - features.mean(0, dtype="float64")
    eigenvalues = np.maximum(np.linalg.eigvalsh(centered.T @ centered)[::-1], 0.0)
    return eigenvalues / max(eigenvalues.sum(), np.finfo("float64").tiny)


def alpha_req(features: np.ndarray, first: int | None = None, last: int | None = None) -> PowerLaw:
    """Returns alpha-ReQ, the exponent of the power law that the eigenvalues of the covariance follow.

    A straight line is fitted to `log l_n` over `log n` for the ranks n from `first` to `last` by least
    squares, rank n weighing 1 / n. About 1 goes with features that transfer well; white features have 0.

    Source: alpha-ReQ (arXiv:2202.05808, section 3); kumarkrishna/fastssl, `fastssl/utils/powerlaw.py`.

    Args:
        features: `(number, dim)`, more of them than dimensions: with few the tail bends down.
        first: the first rank of the fit, from 1; by default 5, or a tenth of the eigenvalues above 1e-10 of
            the largest, if that is less.
        last: the last one; by default 500, or the last eigenvalue above 1e-10 of the largest.

    Raises:
        ValueError: ranks that do not hold three eigenvalues above zero, or features that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import alpha_req
        >>> scales = np.arange(1, 17) ** -0.65
        >>> features = np.concatenate([np.diag(scales), -np.diag(scales)])
        >>> print(f"{alpha_req(features, first=1).alpha:.4f}")
        1.3000
    """
    return fit_power_law(eigenspectrum(features), first, last)


def fit_power_law(
    eigenvalues: np.ndarray, first: int | None = None, last: int | None = None, floor: float = 1e-10
) -> PowerLaw:
    """Returns the power law that eigenvalues follow, as `alpha_req` does of features.

    Args:
        eigenvalues: `(dim,)`, the largest first.
        first: as in `alpha_req`.
        last: as in `alpha_req`.
        floor: share of the largest below which an eigenvalue counts as zero.

    Raises:
        ValueError: for ranks that do not hold three eigenvalues above zero.

    Example:
        >>> import numpy as np
        >>> from kerassl.metrics.power_law import fit_power_law
        >>> print(f"{fit_power_law(np.arange(1, 9) ** -1.3).alpha:.4f}")
        1.3000
    """
    usable = int(np.sum(eigenvalues > floor * eigenvalues[0])) if eigenvalues[0] > 0 else 0
    if first is not None:
        check_count("first", first)
    if last is not None:
        check_count("last", last)
    first = min(5, max(usable // 10, 1)) if first is None else first
    last = min(500, usable) if last is None else last
    if not 1 <= first <= last - 2 or last > usable:
        raise ValueError(
            f"first={first} to last={last} cannot be fitted: the features have {usable} eigenvalues above "
            "zero, and three are needed. Pass other ranks, or more features."
        )
    ranks = np.arange(first, last + 1)
    x, y, weights = np.log(ranks), np.log(eigenvalues[first - 1 : last]), 1.0 / ranks
    weights = weights / weights.sum()
    x, y = x - weights @ x, y - weights @ y
    slope = (weights * x) @ y / ((weights * x) @ x)
    total = (weights * y) @ y
    residual = weights @ (y - slope * x) ** 2
    return PowerLaw(float(-slope), float(1 - residual / total) if total > 0 else 1.0)
