"""The redundancy-reduction loss of Barlow Twins."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_not_negative, embeddings, standardize


def barlow_twins(
    z1: KerasTensor, z2: KerasTensor, redundancy_weight: float | KerasTensor = 0.005
) -> KerasTensor:
    """Pulls the cross-correlation matrix of two views toward the identity.

    `C = standardize(z1)^T standardize(z2) / N`, `L = sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2`, where
    the columns are standardized over the batch with the biased variance and epsilon 1e-5, as a batch norm
    without scale and offset does. Symmetric in the views; nothing is detached. There is no per-sample value,
    hence no `reduction`: `C` is a statistic of the batch. For a loss over several devices, gather `z1` and
    `z2` first.

    Paper: Zbontar et al., Barlow Twins: Self-Supervised Learning via Redundancy Reduction,
    arXiv 2103.03230, equations 1 and 2. Official code: facebookresearch/barlowtwins, main.py, whose
    default weight is 0.0051.

    Args:
        z1: `(batch, dim)` embeddings of the first views, neither normalized nor standardized.
        z2: `(batch, dim)` embeddings of the second views.
        redundancy_weight: weight of the off-diagonal terms, lambda in the paper; a number or tensor, >= 0.

    Returns:
        A float32 scalar; `dim` for constant embeddings and for a batch of one.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or a negative weight.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import barlow_twins
        >>> round(float(barlow_twins(np.ones((8, 16)), np.ones((8, 16)))), 4)
        16.0
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    check_not_negative("redundancy_weight", redundancy_weight)
    batch = ops.cast(ops.shape(z1)[0], "float32")
    correlation = ops.matmul(ops.transpose(standardize(z1)), standardize(z2)) / batch
    error = correlation - ops.eye(z1.shape[-1], dtype="float32")
    # The sum over i != j as (all) - (diagonal), with the two diagonals joined so that nothing cancels.
    weight = ops.cast(redundancy_weight, "float32")
    return weight * ops.sum(ops.square(error)) + (1.0 - weight) * ops.sum(ops.square(ops.diagonal(error)))
