"""The normalized temperature-scaled cross entropy of SimCLR."""

import numbers

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_reduction, embeddings, l2_normalize, reduce
from kerassl.losses.contrastive.logsumexp import two_view_logsumexp


def nt_xent(
    z1: KerasTensor,
    z2: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
    block_size: int | None = None,
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """NT-Xent: each of the 2N views finds its partner among the 2N - 1 others by softmax of cosines.

    With normalized rows `z_1..z_2N` and `p(i)` the other view of the image of row `i`,
    `l_i = -<z_i, z_p(i)> / temperature + log sum_{k != i} exp(<z_i, z_k> / temperature)`.
    Symmetric in the views; nothing is detached. The mean is the paper's, over the 2N samples; the official
    code adds the means of the two directions and so reports (and descends) twice this value.

    The cost is the paper's, quadratic in the batch. Without `block_size` three `(batch, batch)` blocks of
    similarities are held, since the fourth is the transpose of another. With it the loss goes through the 2N
    rows `block_size` at a time and holds `(block_size, 2 * batch)` similarities, which the gradient
    recomputes: for batches whose similarities do not fit into memory. Value and gradients are the same,
    including the temperature's.

    With `candidates`, `z1` and `z2` are a part of a larger batch and are compared with all of it: the mean
    over the parts of a batch is the loss of the batch, and each of several devices computes its own part.

    Paper: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations,
    arXiv 2002.05709, equation 1. Official code: google-research/simclr, tf2/objective.py.

    Args:
        z1: `(batch, dim)` un-normalized embeddings of the first views.
        z2: `(batch, dim)` embeddings of the second views; row i is the same image as row i of `z1`.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean of the two directions of each image.
        block_size: number of the 2N rows that are compared with all others at a time; need not divide 2N.
            `None` takes all at once.
        candidates: embeddings `(all, dim)` of the first and the second views of the whole batch, of which
            `z1` and `z2` are rows; `None` where they are the whole batch.
        first_row: the row of the candidates that is row 0 of `z1`: an integer or an int32 scalar.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`. A batch of one has no negatives: its loss is 0.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, a temperature <= 0,
            a block size below 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import nt_xent
        >>> z = np.eye(4)
        >>> print(f"{float(nt_xent(z, z, temperature=0.5)):.4f}")
        0.5944
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    check_block_size(block_size)
    z1, z2, candidates = scaled(z1, z2, temperature, candidates)
    others = two_view_logsumexp(z1, z2, block_size, candidates, first_row, with_partner=True)
    return reduce(ops.mean(others, axis=0) - ops.sum(z1 * z2, axis=1), reduction)


def scaled(
    z1: KerasTensor,
    z2: KerasTensor,
    temperature: float | KerasTensor,
    candidates: tuple[KerasTensor, KerasTensor] | None,
) -> tuple:
    """Normalized rows over the root of the temperature, whose products are the similarities."""
    root = ops.rsqrt(ops.cast(temperature, "float32"))
    if candidates is not None:
        candidates = embeddings("candidates[0]", candidates[0], "candidates[1]", candidates[1])
        candidates = tuple(l2_normalize(z) * root for z in candidates)
    return l2_normalize(z1) * root, l2_normalize(z2) * root, candidates


def check_block_size(block_size: int | None) -> None:
    """Raises a ValueError unless `block_size` is `None` or a positive integer."""
    if block_size is not None and not (isinstance(block_size, numbers.Integral) and block_size >= 1):
        raise ValueError(f"block_size={block_size} must be a positive integer, or None for one block.")
