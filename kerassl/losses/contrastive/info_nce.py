"""InfoNCE: a query finds its key among the other keys of the batch, or among a queue."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    embeddings,
    l2_normalize,
    reduce,
    to_float32,
)


def info_nce(
    q: KerasTensor,
    k: KerasTensor,
    queue: KerasTensor | None = None,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
    candidates: KerasTensor | None = None,
    own_negatives: KerasTensor | None = None,
) -> KerasTensor:
    """InfoNCE: the cross entropy of each query's cosines with its own key and with negatives.

    With normalized rows, `l_i = -<q_i, k_i> / temperature + log(exp(<q_i, k_i> / temperature) +
    sum_n exp(<q_i, n> / temperature))`. The negatives n are the rows of the queue, or, without one, the
    other keys of the batch: one direction, N - 1 negatives. Nothing is detached: a method whose keys come
    from a teacher detaches them itself.

    Papers: van den Oord et al., Representation Learning with Contrastive Predictive Coding, arXiv
    1807.03748, equation 4; with a queue He et al., Momentum Contrast, arXiv 1911.05722, equation 1.
    Official code: facebookresearch/moco, moco/builder.py.

    Args:
        q: `(batch, dim)` un-normalized queries.
        k: `(batch, dim)` un-normalized keys; row i belongs to row i of `q`.
        queue: `(size, dim)` negatives of all queries; `None` for the other keys of the batch.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"`.
        candidates: `(all, dim)` keys of the whole batch, of which `k` are rows, where each of several
            devices computes the loss of its own queries; `None` where `k` is the whole batch.
        own_negatives: `(batch, n, dim)` more negatives of each query, besides those of the queue, which
            they need.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`. A batch of one without a queue has no negatives: its
        loss is 0.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import info_nce
        >>> q, queue = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]] * 4)
        >>> print(f"{float(info_nce(q, q, queue, temperature=0.5)):.4f}")
        0.4327
    """
    q, k = embeddings("q", q, "k", k)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    q = l2_normalize(q) / ops.cast(temperature, "float32")
    k = l2_normalize(k)
    positive = ops.sum(q * k, axis=1)
    if queue is None:
        if own_negatives is not None:
            raise ValueError("own_negatives are additional to the negatives of a queue; pass queue=, too.")
        keys = k if candidates is None else l2_normalize(rows_as_wide_as(q, "candidates", candidates))
        return reduce(ops.logsumexp(ops.matmul(q, ops.transpose(keys)), axis=1) - positive, reduction)
    queue = l2_normalize(rows_as_wide_as(q, "queue", queue))
    negatives = ops.logsumexp(ops.matmul(q, ops.transpose(queue)), axis=1)
    if own_negatives is not None:
        own_negatives = to_float32(own_negatives)
        check_rank("own_negatives", own_negatives, ("batch", "n", "dim"))
        lengths = ops.maximum(ops.norm(own_negatives, axis=-1), 1e-12)
        own = ops.matmul(own_negatives, q[:, :, None])[:, :, 0] / lengths
        negatives = ops.logsumexp(ops.concatenate([negatives[:, None], own], axis=1), axis=1)
    return reduce(ops.softplus(negatives - positive), reduction)


def rows_as_wide_as(q: KerasTensor, name: str, rows: KerasTensor) -> KerasTensor:
    """Returns checked `rows` in float32."""
    rows = to_float32(rows)
    check_rank(name, rows, ("size", "dim"))
    if rows.shape[1] != q.shape[1]:
        raise ValueError(
            f"{name} has shape {tuple(rows.shape)} but q has shape {tuple(q.shape)}; they must be equal in "
            "dim."
        )
    return rows
