"""The normalised temperature-scaled cross entropy of SimCLR."""

import numbers
from collections.abc import Callable

from keras import KerasTensor, ops

from kerassl.losses._common import check_positive, check_reduction, embeddings, l2_normalize, reduce

# The similarity of a row with itself, finite so that no subtraction gives NaN.
EXCLUDED = -3e38


def nt_xent(
    z1: KerasTensor,
    z2: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
    block_size: int | None = None,
) -> KerasTensor:
    """NT-Xent: each of the 2N views finds its partner among the 2N - 1 others by softmax of cosines.

    With normalised rows `z_1..z_2N` and `p(i)` the other view of the image of row `i`,
    `l_i = -<z_i, z_p(i)> / temperature + log sum_{k != i} exp(<z_i, z_k> / temperature)`.
    Symmetric in the views; nothing is detached. The mean is the paper's, over the 2N samples; the official
    code adds the means of the two directions and so reports (and descends) twice this value.

    The cost is the paper's, quadratic in the batch. Without `block_size` three `(batch, batch)` blocks of
    similarities are held, since the fourth is the transpose of another. With it the loss goes through the
    2N rows `block_size` at a time and holds `(block_size, 2 * batch)` similarities, which the gradient
    computes anew: for batches whose similarities do not fit. Value and gradients, that of the temperature
    included, are the same.

    Paper: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations,
    arXiv 2002.05709, equation 1. Official code: google-research/simclr, tf2/objective.py.

    Args:
        z1: `(batch, dim)` un-normalised embeddings of the first views.
        z2: `(batch, dim)` embeddings of the second views; row i is the same image as row i of `z1`.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean of the two directions of each image.
        block_size: how many of the 2N rows are compared with all others at a time; need not divide 2N.
            `None` takes all at once.

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
    scale = ops.rsqrt(ops.cast(temperature, "float32"))
    z1, z2 = l2_normalize(z1) * scale, l2_normalize(z2) * scale
    if block_size is None:
        others = _log_sum_exp_of_others(z1, z2)
    else:
        others = _log_sum_exp_of_others_by_blocks(ops.concatenate([z1, z2]), block_size)
    both_directions = ops.sum(ops.reshape(others, (2, -1)), axis=0)
    return reduce(both_directions / 2 - ops.sum(z1 * z2, axis=1), reduction)


def check_block_size(block_size: int | None) -> None:
    """Raises a ValueError unless `block_size` is `None` or a positive integer."""
    if block_size is not None and not (isinstance(block_size, numbers.Integral) and block_size >= 1):
        raise ValueError(f"block_size={block_size} must be a positive integer, or None for one block.")


def _log_sum_exp_of_others(z1: KerasTensor, z2: KerasTensor) -> KerasTensor:
    """`(2N,)` values `log sum_{k != i} exp(<z_i, z_k>)` over the rows of both, from three (N, N) blocks."""
    index = ops.arange(ops.shape(z1)[0])
    diagonal = index[:, None] == index[None, :]

    # Written out, the gradient needs one product a block where the derivative of `z z^T` takes two, and
    # holds the blocks once: softmaxes replace similarities.
    @ops.custom_gradient
    def log_sum_exp(z1: KerasTensor, z2: KerasTensor):
        cross = ops.matmul(z1, ops.transpose(z2))
        within1, within2 = (ops.where(diagonal, EXCLUDED, ops.matmul(z, ops.transpose(z))) for z in (z1, z2))
        rows1 = ops.logaddexp(ops.logsumexp(cross, axis=1), ops.logsumexp(within1, axis=1))
        rows2 = ops.logaddexp(ops.logsumexp(cross, axis=0), ops.logsumexp(within2, axis=1))

        def gradient(*arguments: KerasTensor, upstream: KerasTensor | None = None):
            upstream1, upstream2 = ops.split(arguments[-1] if upstream is None else upstream, 2)
            cross_weights = _pull(cross, rows1, upstream1, rows2, upstream2)
            within1_weights = _pull(within1, rows1, upstream1, rows1, upstream1)
            within2_weights = _pull(within2, rows2, upstream2, rows2, upstream2)
            return (
                ops.matmul(cross_weights, z2) + ops.matmul(within1_weights, z1),
                ops.matmul(ops.transpose(cross_weights), z1) + ops.matmul(within2_weights, z2),
            )

        return ops.concatenate([rows1, rows2]), gradient

    return log_sum_exp(z1, z2)


def _log_sum_exp_of_others_by_blocks(z: KerasTensor, block_size: int) -> KerasTensor:
    """The same over the rows of `z`, `block_size` rows at a time."""
    count = ops.shape(z)[0]
    columns = ops.arange(count)
    # A last block that is not full repeats the last row.
    blocks = ops.minimum(ops.arange(-(-count // block_size) * block_size), count - 1)
    blocks = ops.reshape(blocks, (-1, block_size))

    def by_blocks(function: Callable, *width: int):
        def turn(_: KerasTensor, rows: KerasTensor):
            result = function(rows)
            # Carried, so that TensorFlow cannot begin a block before it is done with the one before.
            return result, result

        _, results = ops.scan(turn, ops.zeros((block_size, *width)), blocks)
        return ops.reshape(results, (-1, *width))[:count]

    @ops.custom_gradient
    def log_sum_exp(z: KerasTensor):
        def similarities(rows: KerasTensor):
            products = ops.matmul(ops.take(z, rows, axis=0), ops.transpose(z))
            return ops.where(rows[:, None] == columns[None, :], EXCLUDED, products)

        normalizers = by_blocks(lambda rows: ops.logsumexp(similarities(rows), axis=1))

        def gradient(*arguments: KerasTensor, upstream: KerasTensor | None = None):
            upstream = arguments[-1] if upstream is None else upstream

            def of_block(rows: KerasTensor):
                own = ops.take(normalizers, rows), ops.take(upstream, rows)
                return ops.matmul(_pull(similarities(rows), *own, normalizers, upstream), z)

            return by_blocks(of_block, z.shape[1])

        return normalizers, gradient

    return log_sum_exp(z)


def _pull(
    similarities: KerasTensor,
    row_normalizers: KerasTensor,
    row_upstream: KerasTensor,
    column_normalizers: KerasTensor,
    column_upstream: KerasTensor,
):
    """How much each pair moves the loss: as row i's neighbour k, and as row k's neighbour i."""
    of_rows = ops.exp(similarities - row_normalizers[:, None]) * row_upstream[:, None]
    return of_rows + ops.exp(similarities - column_normalizers[None, :]) * column_upstream[None, :]
