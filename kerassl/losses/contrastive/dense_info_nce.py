"""InfoNCE of the cells of a feature map with the most similar cells of another view."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, reduce, to_float32
from kerassl.losses.contrastive.info_nce import info_nce


def dense_info_nce(
    q: KerasTensor,
    k: KerasTensor,
    q_features: KerasTensor,
    k_features: KerasTensor,
    queue: KerasTensor,
    temperature: float | KerasTensor = 0.2,
    reduction: str = "mean",
) -> KerasTensor:
    """Dense contrastive loss: each cell of a query finds the matching cell of its key among a queue.

    The match of cell s is the cell of the key whose encoder features have the largest cosine with its own,
    `c(s) = argmax_t cos(q_features_s, k_features_t)`, without gradient. With normalized rows the loss of an
    image is the mean over its cells of `-<q_s, k_c(s)> / temperature + log(exp(<q_s, k_c(s)> / temperature)
    + sum_n exp(<q_s, n> / temperature))` over the rows n of the queue: one direction. Keys are not detached:
    a method whose keys come from a teacher detaches them itself.

    Paper: Wang et al., Dense Contrastive Learning for Self-Supervised Visual Pre-Training, arXiv 2011.09157,
    equations 2 and 4. Official code: WXinlong/DenseCL, openselfsup/models/densecl.py.

    Args:
        q: `(batch, cells, dim)` un-normalized projections of a view's cells.
        k: `(batch, cells, dim)` the same of the other view, in any order of the cells.
        q_features: `(batch, cells, width)` encoder features of the cells of `q`.
        k_features: `(batch, cells, width)` encoder features of the cells of `k`.
        queue: `(size, dim)` negatives of all cells.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import dense_info_nce
        >>> cells, queue = np.eye(2)[None], -np.ones((4, 2))
        >>> swapped = cells[:, ::-1]
        >>> print(f"{float(dense_info_nce(cells, swapped, cells, swapped, queue, temperature=1.0)):.4f}")
        0.5456
    """
    inputs = {"q": q, "k": k, "q_features": q_features, "k_features": k_features}
    inputs = {name: to_float32(x) for name, x in inputs.items()}
    for name, x in inputs.items():
        check_rank(name, x, ("batch", "cells", "dim"))
    q, k, q_features, k_features = inputs.values()
    check_same_shape("q", q, "k", k)
    check_same_shape("q_features", q_features, "k_features", k_features)
    if q.shape[1] != q_features.shape[1]:
        raise ValueError(
            f"q has shape {tuple(q.shape)} but q_features has shape {tuple(q_features.shape)}; they must be "
            "equal in cells, cell s of both coming from the same place."
        )
    check_reduction(reduction)
    matches = match_cells(q_features, k_features)
    matched = ops.take_along_axis(k, matches[:, :, None], axis=1)
    batch, cells, dim = ops.shape(q)
    q, matched = (ops.reshape(x, (-1, dim)) for x in (q, matched))
    each = info_nce(q, matched, queue, temperature, reduction="none")
    return reduce(ops.mean(ops.reshape(each, (batch, cells)), axis=1), reduction)


def match_cells(q_features: KerasTensor, k_features: KerasTensor) -> KerasTensor:
    """The cell of `k_features` with the largest cosine for each cell of `q_features`; without gradient.

    Args:
        q_features: `(batch, cells, width)`.
        k_features: `(batch, other_cells, width)`.

    Returns:
        int32 `(batch, cells)`; the first of several equal ones.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import match_cells
        >>> print(np.array(match_cells(np.eye(2)[None], np.eye(2)[None, ::-1])))
        [[1 0]]
    """
    q_features, k_features = (ops.stop_gradient(to_float32(x)) for x in (q_features, k_features))
    # The length of a query's features moves none of its cosines past another.
    lengths = ops.maximum(ops.norm(k_features, axis=-1, keepdims=True), 1e-12)
    cosines = ops.matmul(q_features, ops.swapaxes(k_features / lengths, 1, 2))
    return ops.cast(ops.argmax(cosines, axis=2), "int32")
