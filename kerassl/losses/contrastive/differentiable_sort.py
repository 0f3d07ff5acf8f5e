"""A differentiable sorting network: odd-even transposition sort whose exchanges are gradual."""

import math

import numpy as np
from keras import KerasTensor, ops


def differentiable_sort(values: KerasTensor, steepness: float) -> tuple[KerasTensor, KerasTensor]:
    """Sorts rows ascending by n layers of relaxed exchanges between neighbors, for rows of n values.

    Two neighbors `a, b` leave an exchange as `alpha a + (1 - alpha) b` and `(1 - alpha) a + alpha b`, where
    `alpha = atan(steepness * (b - a)) / pi + 1/2`, the distribution function of Cauchy, is near 1 where they
    are in order. Layers begin at the first and at the second value in turn.

    Papers: Petersen et al., Differentiable Sorting Networks for Scalable Sorting and Ranking Supervision,
    arXiv 2105.04019; with Cauchy's, Monotonic Differentiable Sorting Networks, arXiv 2203.09630. Official
    code: Felix-Petersen/diffsort, "odd_even" and "cauchy".

    Args:
        values: `(batch, n)` float32, n known.
        steepness: positive number; the larger, the nearer to a sort.

    Returns:
        The relaxed sorted rows `(batch, n)`, and the permutations `(batch, n, n)` that make them: entry
        (i, j) is the part of value i at place j. Rows and columns of a permutation sum to 1.
    """
    n = values.shape[1]
    permutation = ops.broadcast_to(ops.eye(n), (ops.shape(values)[0], n, n))
    # The values and the permutation go through the same mixtures.
    rows = ops.concatenate([values[:, None, :], permutation], axis=1)
    for layer in range(n):
        partners = _partners(n, first=layer % 2)
        direction = ops.convert_to_tensor(partners - np.arange(n), "float32")
        gap = direction * (ops.take(rows[:, 0], partners, axis=-1) - rows[:, 0])
        # One half for a value without a partner, which is its own.
        kept = ops.arctan(steepness * gap)[:, None, :] / math.pi + 0.5
        rows = kept * rows + (1.0 - kept) * ops.take(rows, partners, axis=-1)
    return rows[:, 0], rows[:, 1:]


def _partners(n: int, first: int) -> np.ndarray:
    """The place of each value's partner, of neighbors paired from `first` on; its own where one is left."""
    places = np.arange(n)
    partners = places + np.where((places - first) % 2 == 0, 1, -1)
    return np.where((partners < 0) | (partners >= n), places, partners).astype("int32")
