"""Log-sum-exps over the rows that each row is contrasted with, with gradients written out."""

from collections.abc import Callable

from keras import KerasTensor, ops

# The similarity of a row with itself, finite so that no subtraction gives NaN.
MASKED = -3e38


def two_view_logsumexp(
    z1: KerasTensor,
    z2: KerasTensor,
    block_size: int | None,
    candidates: tuple[KerasTensor, KerasTensor] | None,
    first_row: int | KerasTensor,
    with_partner: bool,
) -> KerasTensor:
    """`log sum_k exp(<z_i, z_k>)` of each view of each image.

    Args:
        z1: `(batch, dim)` normalized rows over the root of the temperature, the first views.
        z2: `(batch, dim)`, the second views.
        block_size: rows compared with all others at a time; `None` for all.
        candidates: the first and the second views of the whole batch, of which `z1` and `z2` are rows;
            `None` where they are the whole batch.
        first_row: the row of the candidates that is row 0 of `z1`.
        with_partner: whether k runs over the other view of the same image, too, or only over other images.

    Returns:
        `(2, batch)` float32; a huge negative number if there is no k.
    """
    if candidates is None and block_size is None:
        others = _of_whole_batch(z1, z2, with_partner)
    else:
        count = ops.shape(z1 if candidates is None else candidates[0])[0]
        own = first_row + ops.arange(ops.shape(z1)[0], dtype="int32")
        own, partners = ops.concatenate([own, own + count]), ops.concatenate([own + count, own])
        excluded = (own,) if with_partner else (own, partners)
        z = ops.concatenate([z1, z2])
        if candidates is None:
            others = blockwise_logsumexp(z, excluded, block_size or 2 * count)
        else:
            others = logsumexp_over_candidates(z, ops.concatenate(candidates), excluded, block_size)
    return ops.reshape(others, (2, -1))


def _of_whole_batch(z1: KerasTensor, z2: KerasTensor, with_partner: bool) -> KerasTensor:
    """`(2N,)` values over the rows of both views, from three (N, N) blocks."""
    index = ops.arange(ops.shape(z1)[0], dtype="int32")
    diagonal = index[:, None] == index[None, :]

    # Written out, the gradient needs one product per block, where the derivative of `z z^T` takes two, and
    # holds the blocks once: softmaxes replace similarities.
    @ops.custom_gradient
    def log_sum_exp(z1: KerasTensor, z2: KerasTensor):
        cross = ops.matmul(z1, ops.transpose(z2))
        if not with_partner:
            cross = ops.where(diagonal, MASKED, cross)
        within1, within2 = (ops.where(diagonal, MASKED, ops.matmul(z, ops.transpose(z))) for z in (z1, z2))
        rows1 = ops.logaddexp(ops.logsumexp(cross, axis=1), ops.logsumexp(within1, axis=1))
        rows2 = ops.logaddexp(ops.logsumexp(cross, axis=0), ops.logsumexp(within2, axis=1))

        def gradient(*arguments: KerasTensor, upstream: KerasTensor | None = None):
            upstream1, upstream2 = ops.split(arguments[-1] if upstream is None else upstream, 2)
            cross_weights = _pair_gradient(cross, rows1, upstream1, rows2, upstream2)
            within1_weights = _pair_gradient(within1, rows1, upstream1, rows1, upstream1)
            within2_weights = _pair_gradient(within2, rows2, upstream2, rows2, upstream2)
            return (
                ops.matmul(cross_weights, z2) + ops.matmul(within1_weights, z1),
                ops.matmul(ops.transpose(cross_weights), z1) + ops.matmul(within2_weights, z2),
            )

        return ops.concatenate([rows1, rows2]), gradient

    return log_sum_exp(z1, z2)


def blockwise_logsumexp(z: KerasTensor, excluded: tuple, block_size: int) -> KerasTensor:
    """`(n,)` values `log sum_k exp(<z_i, z_k>)` over the rows of `z`, `block_size` rows at a time.

    `excluded` holds int32 vectors `(n,)`: row i is not compared with the rows that they name at i. The
    exclusion is mutual.
    """
    count = ops.shape(z)[0]

    @ops.custom_gradient
    def log_sum_exp(z: KerasTensor):
        def normalizers_of(rows: KerasTensor):
            return ops.logsumexp(_similarities(z, z, rows, excluded), axis=1)

        normalizers = _by_blocks(normalizers_of, count, block_size)

        def gradient(*arguments: KerasTensor, upstream: KerasTensor | None = None):
            upstream = arguments[-1] if upstream is None else upstream

            def of_block(rows: KerasTensor):
                own = ops.take(normalizers, rows), ops.take(upstream, rows)
                weights = _pair_gradient(_similarities(z, z, rows, excluded), *own, normalizers, upstream)
                return ops.matmul(weights, z)

            return _by_blocks(of_block, count, block_size, z.shape[1])

        return normalizers, gradient

    return log_sum_exp(z)


def logsumexp_over_candidates(
    z: KerasTensor, candidates: KerasTensor, excluded: tuple, block_size: int | None
) -> KerasTensor:
    """`(n,)` values `log sum_k exp(<z_i, candidates_k>)`, `block_size` rows at a time.

    `excluded` holds int32 vectors `(n,)`: row i is not compared with the candidates that they name at i.
    """

    def by_blocks(function: Callable, rows: KerasTensor, *width: int):
        count = ops.shape(rows)[0]
        return _by_blocks(function, count, block_size or count, *width)

    @ops.custom_gradient
    def log_sum_exp(z: KerasTensor, candidates: KerasTensor):
        def normalizers_of(rows: KerasTensor):
            return ops.logsumexp(_similarities(z, candidates, rows, excluded), axis=1)

        normalizers = by_blocks(normalizers_of, z)

        def gradient(*arguments: KerasTensor, upstream: KerasTensor | None = None):
            upstream = arguments[-1] if upstream is None else upstream

            def to_rows(rows: KerasTensor):
                logits = _similarities(z, candidates, rows, excluded) - ops.take(normalizers, rows)[:, None]
                return ops.matmul(ops.exp(logits) * ops.take(upstream, rows)[:, None], candidates)

            def to_candidates(columns: KerasTensor):
                products = ops.matmul(ops.take(candidates, columns, axis=0), ops.transpose(z))
                for places in excluded:
                    products = ops.where(columns[:, None] == places[None, :], MASKED, products)
                logits = products - normalizers
                return ops.matmul(ops.exp(logits) * upstream, z)

            return by_blocks(to_rows, z, z.shape[1]), by_blocks(to_candidates, candidates, z.shape[1])

        return normalizers, gradient

    return log_sum_exp(z, candidates)


def _similarities(z: KerasTensor, candidates: KerasTensor, rows: KerasTensor, excluded: tuple):
    """Similarities of some rows of `z` with all candidates; `MASKED` where a row excludes a candidate."""
    products = ops.matmul(ops.take(z, rows, axis=0), ops.transpose(candidates))
    columns = ops.arange(ops.shape(candidates)[0], dtype="int32")
    for places in excluded:
        products = ops.where(ops.take(places, rows)[:, None] == columns[None, :], MASKED, products)
    return products


def _numbers_by_blocks(count: int | KerasTensor, block_size: int | KerasTensor) -> KerasTensor:
    """0, 1, ... in int32 `(blocks, block_size)`, enough for `count` rows; the last block may overrun."""
    return ops.reshape(ops.arange(-(-count // block_size) * block_size, dtype="int32"), (-1, block_size))


def _by_blocks(
    function: Callable, count: int | KerasTensor, block_size: int | KerasTensor, *width: int
) -> KerasTensor:
    """`(count, *width)` results of a function of row numbers, called with `block_size` rows at a time."""

    def turn(_: KerasTensor, numbers: KerasTensor):
        # A last block that is not full repeats the last row.
        result = function(ops.minimum(numbers, count - 1))
        # Carried, so that TensorFlow cannot begin a block before the previous one is done.
        return result, result

    start = ops.zeros((block_size, *width))
    _, results = ops.scan(turn, start, _numbers_by_blocks(count, block_size))
    return ops.reshape(results, (-1, *width))[:count]


def _pair_gradient(
    similarities: KerasTensor,
    row_normalizers: KerasTensor,
    row_upstream: KerasTensor,
    column_normalizers: KerasTensor,
    column_upstream: KerasTensor,
):
    """Gradient of each pair's similarity: as row i's candidate k, and as row k's candidate i."""
    of_rows = ops.exp(similarities - row_normalizers[:, None]) * row_upstream[:, None]
    return of_rows + ops.exp(similarities - column_normalizers[None, :]) * column_upstream[None, :]
