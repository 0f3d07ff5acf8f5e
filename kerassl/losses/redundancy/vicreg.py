"""The loss of VICReg, and its variance and covariance terms, which related methods share."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_not_negative, check_rank, embeddings, gram, to_float32


def vicreg(
    z1: KerasTensor,
    z2: KerasTensor,
    invariance: float | KerasTensor = 25.0,
    variance: float | KerasTensor = 25.0,
    covariance: float | KerasTensor = 1.0,
) -> KerasTensor:
    """VICReg: two views agree, every dimension varies over the batch, no two dimensions vary together.

    `L = invariance * mean((z1 - z2)^2) + variance * (v(z1) + v(z2)) / 2 + covariance * (c(z1) + c(z2))`,
    the mean over images and dimensions, v and c those of `variance_hinge` and `off_diagonal_covariance`.
    Symmetric in the views; nothing is detached or normalized. There is no per-sample value, hence no
    `reduction`: v and c are statistics of the batch. For a loss over several devices, gather `z1` and `z2`
    first.

    Paper: Bardes et al., VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning,
    arXiv 2105.04906, equations 1 to 6. Official code: facebookresearch/vicreg, main_vicreg.py, which halves
    the sum of the two variance terms like this function; equation 6 and some ports do not.

    Args:
        z1: `(batch, dim)` embeddings of the first views, not normalized.
        z2: `(batch, dim)` embeddings of the second views.
        invariance: weight of the invariance term, lambda in the paper; >= 0.
        variance: weight of the variance terms, mu in the paper; >= 0.
        covariance: weight of the covariance terms, nu in the paper; >= 0.

    Returns:
        A float32 scalar; `0.99 * variance` for constant, equal embeddings.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or a negative weight.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import vicreg
        >>> round(float(vicreg(np.ones((8, 16)), np.ones((8, 16)))), 2)
        24.75
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    for name, weight in (("invariance", invariance), ("variance", variance), ("covariance", covariance)):
        check_not_negative(name, weight)
    return (
        invariance * ops.mean(ops.square(z1 - z2))
        + variance * (variance_hinge(z1) + variance_hinge(z2)) / 2
        + covariance * (off_diagonal_covariance(z1) + off_diagonal_covariance(z2))
    )


def variance_hinge(z: KerasTensor) -> KerasTensor:
    """Mean shortfall of the dimensions' standard deviations below 1.

    `v = mean_d max(0, 1 - sqrt(Var_d + 1e-4))` with the unbiased variance over the batch. Paper: arXiv
    2105.04906, equations 1 and 2, as in the official code of `vicreg`.

    Args:
        z: `(batch, dim)` embeddings, or `(batch, cells, dim)`: the mean over the cells then.

    Returns:
        A float32 scalar in [0, 0.99]; 0.99 for constant embeddings and for a batch of one.

    Raises:
        ValueError: for a rank other than 2 or 3.

    Example:
        >>> from kerassl.losses import variance_hinge
        >>> round(float(variance_hinge([[0.0, 3.0], [0.0, -3.0]])), 4)
        0.495
    """
    centered, degrees_of_freedom = _centered(z)
    variance = ops.sum(ops.square(centered), axis=0) / degrees_of_freedom
    return ops.mean(ops.relu(1.0 - ops.sqrt(variance + 1e-4)))


def off_diagonal_covariance(z: KerasTensor) -> KerasTensor:
    """Squared covariances between different dimensions, summed and divided by the number of dimensions.

    `c = sum_{i != j} Cov_ij^2 / D` with the unbiased covariance over the batch. Paper: arXiv 2105.04906,
    equations 3 and 4.

    Args:
        z: `(batch, dim)` embeddings, or `(batch, cells, dim)`: the mean over the cells then.

    Returns:
        A float32 scalar >= 0; 0 for a batch of one.

    Raises:
        ValueError: for a rank other than 2 or 3.

    Example:
        >>> from kerassl.losses import off_diagonal_covariance
        >>> round(float(off_diagonal_covariance([[1.0, 1.0], [-1.0, -1.0]])), 4)
        4.0
    """
    centered, degrees_of_freedom = _centered(z)
    if len(centered.shape) == 3:
        centered = ops.transpose(centered, (1, 0, 2))
    covariance = gram(centered) / degrees_of_freedom
    # A mask: subtracting the variances' squares from the sum of all squares would lose the digits of c.
    different = 1.0 - ops.eye(centered.shape[-1], dtype="float32")
    return ops.mean(ops.sum(ops.square(covariance * different), axis=(-2, -1))) / centered.shape[-1]


def _centered(z: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Embeddings minus their mean over the batch, and the divisor of unbiased statistics.

    A batch of one has no variance: its zeros are divided by 1.
    """
    z = to_float32(z)
    if len(z.shape) != 3:
        check_rank("z", z, ("batch", "dim"))
    degrees_of_freedom = ops.maximum(ops.cast(ops.shape(z)[0], "float32") - 1.0, 1.0)
    return z - ops.mean(z, axis=0), degrees_of_freedom
