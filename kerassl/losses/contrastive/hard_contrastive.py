"""The hard contrastive loss: InfoNCE over the nearest negatives alone."""

import numbers

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_reduction, embeddings, l2_normalize, reduce
from kerassl.losses.contrastive.info_nce import rows_as_wide_as
from kerassl.losses.contrastive.logsumexp import MASKED


def hard_contrastive(
    q: KerasTensor,
    k: KerasTensor,
    queue: KerasTensor | None = None,
    temperature: float | KerasTensor = 0.1,
    hard_fraction: float = 0.0819,
    reduction: str = "mean",
    candidates: KerasTensor | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """InfoNCE whose denominator holds the positive and the nearest share of the negatives.

    With `s_i` the smallest of the `hard_fraction` largest cosines of query i with its negatives n,
    `l_i = -<q_i, k_i> / temperature + log(exp(<q_i, k_i> / temperature) +
    sum_{n: <q_i, n> >= s_i} exp(<q_i, n> / temperature))`. The choice of negatives is detached; ties all
    count. With a fraction of 1 this is `info_nce`.

    Paper: Wang and Liu, Understanding the Behaviour of Contrastive Loss, arXiv 2012.09740. The
    authors' code is not public.

    Args:
        q: `(batch, dim)` un-normalized queries.
        k: `(batch, dim)` un-normalized keys; row i belongs to row i of `q`.
        queue: `(size, dim)` negatives of all queries; `None` for the other keys of the batch.
        temperature: positive number or scalar tensor.
        hard_fraction: share of the negatives that count, in (0, 1]; at least one does. The paper keeps
            0.0819 of them on CIFAR.
        reduction: `"mean"`, or `"none"`.
        candidates: `(all, dim)` keys of the whole batch, of which `k` are rows, where each of several
            devices computes the loss of its own queries; `None` where `k` is the whole batch.
        first_row: the row of the candidates that is row 0 of `k`: an integer or an int32 scalar.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`. A batch of one without a queue has no negatives: its
        loss is 0.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a temperature <= 0, a fraction outside
            (0, 1].

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import hard_contrastive
        >>> q, queue = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [-1.0, 0.0]])
        >>> print(f"{float(hard_contrastive(q, q, queue, temperature=0.5, hard_fraction=0.5)):.4f}")
        0.1269
    """
    q, k = embeddings("q", q, "k", k)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    check_hard_fraction(hard_fraction)
    q = l2_normalize(q) / ops.cast(temperature, "float32")
    k = l2_normalize(k)
    positive = ops.sum(q * k, axis=1)
    if queue is None:
        keys = k if candidates is None else l2_normalize(rows_as_wide_as(q, "candidates", candidates))
        own = first_row + ops.arange(ops.shape(q)[0], dtype="int32")
        columns = ops.arange(ops.shape(keys)[0], dtype="int32")
        similarities = ops.matmul(q, ops.transpose(keys))
        similarities = ops.where(own[:, None] == columns[None, :], MASKED, similarities)
        count = ops.shape(keys)[0] - 1
    else:
        queue = l2_normalize(rows_as_wide_as(q, "queue", queue))
        similarities, count = ops.matmul(q, ops.transpose(queue)), ops.shape(queue)[0]
    kept = ops.cast(ops.maximum(ops.round(hard_fraction * ops.cast(count, "float32")), 1.0), "int32")
    ascending = ops.sort(ops.stop_gradient(similarities), axis=1)
    threshold = ops.take(ascending, ops.shape(similarities)[1] - kept, axis=1)[:, None]
    nearest = ops.logsumexp(ops.where(similarities >= threshold, similarities, MASKED), axis=1)
    return reduce(ops.softplus(nearest - positive), reduction)


def check_hard_fraction(hard_fraction: float) -> None:
    """Raises a ValueError unless `hard_fraction` lies in (0, 1]."""
    if not isinstance(hard_fraction, numbers.Number) or not 0 < hard_fraction <= 1:
        raise ValueError(f"hard_fraction={hard_fraction} must lie in (0, 1], for instance 0.0819.")
