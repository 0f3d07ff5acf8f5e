"""Synthetic hard negatives: mixtures of a queue's hardest ones with each other and with the query."""

from keras import KerasTensor, ops

from kerassl.losses.common import embeddings, l2_normalize


def hard_negative_mixtures(
    q: KerasTensor,
    queue: KerasTensor,
    num_hardest: int,
    pairs: KerasTensor,
    pair_weights: KerasTensor,
    partners: KerasTensor,
    query_weights: KerasTensor,
) -> KerasTensor:
    """MoCHi's synthetic negatives of each query, without gradient.

    With `n_1, n_2, ...` the rows of the queue by falling cosine with the query, the first s are
    `h = a n_i + (1 - a) n_j` and the other s' are `h = b q + (1 - b) n_j`, each divided by its norm.

    Paper: Kalantidis et al., Hard Negative Mixing for Contrastive Learning, arXiv 2010.01028, section 3.
    The authors' code is not public.

    Args:
        q: `(batch, dim)` un-normalized queries.
        queue: `(size, dim)` un-normalized negatives of all queries.
        num_hardest: how many of the nearest rows are mixed, N in the paper.
        pairs: int32 `(batch, s, 2)`, numbers i and j below `num_hardest`.
        pair_weights: `(batch, s)` weights a in (0, 1).
        partners: int32 `(batch, s')`, numbers j below `num_hardest`.
        query_weights: `(batch, s')` weights b in (0, 0.5), so that the negative weighs more.

    Returns:
        float32 `(batch, s + s', dim)` unit rows.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import hard_negative_mixtures
        >>> q, queue = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [-1.0, 0.0]])
        >>> mixed = hard_negative_mixtures(q, queue, 1, [[[0, 0]]], [[0.3]], [[0]], [[0.5]])
        >>> print(np.round(np.array(mixed)[0], 4))
        [[0.     1.    ]
         [0.7071 0.7071]]
    """
    q, _ = embeddings("q", q, "q", q)
    q, queue = (l2_normalize(ops.stop_gradient(ops.cast(rows, "float32"))) for rows in (q, queue))
    hardest = ops.top_k(ops.matmul(q, ops.transpose(queue)), num_hardest)[1]

    def rows(numbers: KerasTensor):
        return ops.take(queue, ops.take_along_axis(hardest, ops.cast(numbers, hardest.dtype), axis=1), axis=0)

    pairs = ops.convert_to_tensor(pairs)
    weight = ops.cast(pair_weights, "float32")[..., None]
    of_pairs = weight * rows(pairs[..., 0]) + (1.0 - weight) * rows(pairs[..., 1])
    weight = ops.cast(query_weights, "float32")[..., None]
    of_queries = weight * q[:, None] + (1.0 - weight) * rows(partners)
    mixed = ops.concatenate([of_pairs, of_queries], axis=1)
    return mixed / ops.maximum(ops.norm(mixed, axis=-1, keepdims=True), 1e-12)
