"""The loss of VIbCReg, and its covariance term."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_not_negative,
    check_rank,
    embeddings,
    gram,
    l2_normalize,
    to_float32,
)
from kerassl.losses.redundancy.vicreg import variance_hinge


def vibcreg(
    z1: KerasTensor,
    z2: KerasTensor,
    invariance: float | KerasTensor = 25.0,
    variance: float | KerasTensor = 25.0,
    covariance: float | KerasTensor = 200.0,
) -> KerasTensor:
    """VIbCReg: VICReg with a covariance term on standardized dimensions.

    `L = invariance * mean((z1 - z2)^2) + variance * (v(z1) + v(z2)) + covariance * (c(z1) + c(z2))`, v
    that of `variance_hinge` and c that of `off_diagonal_correlation`. Symmetric in the views; nothing is
    detached. The variance terms are summed, where VICReg averages them. There is no per-sample value, hence
    no `reduction`. For a loss over several devices, gather `z1` and `z2` first.

    Paper: Lee and Aune, VIbCReg: Variance-Invariance-better-Covariance Regularization for Self-Supervised
    Learning on Time Series, arXiv 2109.00783, section 3. Official code: ML4ITS/vibcreg,
    pypilib/vibcreg/losses.py.

    Args:
        z1: `(batch, dim)` embeddings of the first views, not normalized.
        z2: `(batch, dim)` embeddings of the second views.
        invariance: weight of the invariance term; >= 0.
        variance: weight of the variance terms; >= 0.
        covariance: weight of the covariance terms; >= 0.

    Returns:
        A float32 scalar; `2 * 0.99 * variance` for constant, equal embeddings.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or a negative weight.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import vibcreg
        >>> round(float(vibcreg(np.ones((8, 16)), np.ones((8, 16)))), 2)
        49.5
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    for name, weight in (("invariance", invariance), ("variance", variance), ("covariance", covariance)):
        check_not_negative(name, weight)
    return (
        invariance * ops.mean(ops.square(z1 - z2))
        + variance * (variance_hinge(z1) + variance_hinge(z2))
        + covariance * (off_diagonal_correlation(z1) + off_diagonal_correlation(z2))
    )


def off_diagonal_correlation(z: KerasTensor) -> KerasTensor:
    """Squared correlations between different dimensions over the batch, as a mean over all pairs.

    `c = sum_{i != j} R_ij^2 / D^2`, R the correlation matrix; the diagonal counts as zeros. A constant
    dimension correlates with none, and has no gradient. Source: as `vibcreg`.

    Args:
        z: `(batch, dim)` embeddings.

    Returns:
        A float32 scalar in [0, 1 - 1 / D].

    Raises:
        ValueError: for a rank other than 2.

    Example:
        >>> from kerassl.losses import off_diagonal_correlation
        >>> round(float(off_diagonal_correlation([[1.0, 30.0], [-1.0, -30.0]])), 4)
        0.5
    """
    z = to_float32(z)
    check_rank("z", z, ("batch", "dim"))
    columns = l2_normalize(z - ops.mean(z, axis=0), axis=0)
    different = 1.0 - ops.eye(z.shape[1], dtype="float32")
    return ops.mean(ops.square(gram(columns) * different))
