"""Synchronous momentum grouping: groups that move with the batch, and the contrast with them."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    l2_normalize,
    reduce,
    to_float32,
)


def smog(
    predictions: KerasTensor,
    groups: KerasTensor,
    assignments: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """Mean of `-log softmax_k(cos(x_b, g_k) / temperature)` at each image's group.

    Paper: Pang et al., Unsupervised Visual Representation Learning by Synchronous Momentum Grouping, arXiv
    2207.06167. Nothing is detached: gradients also reach embeddings through the moved groups.

    Args:
        predictions: `(batch, dim)`.
        groups: `(num_groups, dim)`, as `moved_groups` returns them.
        assignments: `(batch,)` integers, the group of each image.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for each image.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; 0 for one group.

    Raises:
        ValueError: for wrong ranks, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import smog
        >>> loss = smog(np.eye(2), np.ones((4, 2)), np.array([0, 3]))
        >>> print(f"{float(loss):.4f}, log 4 is {np.log(4):.4f}")
        1.3863, log 4 is 1.3863
    """
    predictions, groups = to_float32(predictions), to_float32(groups)
    check_rank("predictions", predictions, ("batch", "dim"))
    check_rank("groups", groups, ("num_groups", "dim"))
    check_positive("temperature", temperature)
    check_reduction(reduction)
    cosines = ops.matmul(l2_normalize(predictions), ops.transpose(l2_normalize(groups)))
    log_p = ops.log_softmax(cosines / ops.cast(temperature, "float32"), axis=1)
    each = -ops.take_along_axis(log_p, ops.cast(assignments, "int32")[:, None], axis=1)[:, 0]
    return reduce(each, reduction)


def moved_groups(
    groups: KerasTensor,
    embeddings: KerasTensor,
    assignments: KerasTensor,
    momentum: float | KerasTensor = 0.99,
) -> KerasTensor:
    """Unit groups `momentum g_k + (1 - momentum) mean of the embeddings of k`; empty ones are unchanged.

    Paper: arXiv 2207.06167, the synchronous update of the groups, with gradients for the embeddings.
    Embeddings are normalized before the mean, groups after it.

    Args:
        groups: `(num_groups, dim)` groups of the previous step.
        embeddings: `(batch, dim)` embeddings of the global batch.
        assignments: `(batch,)` integers, the group of each.
        momentum: beta in the paper, in [0, 1].

    Returns:
        Float32 `(num_groups, dim)` of length one.

    Raises:
        ValueError: for wrong ranks.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import moved_groups
        >>> print(np.array(moved_groups(np.eye(2), np.array([[0.0, 5.0]]), np.array([0]), momentum=0.0)))
        [[0. 1.]
         [0. 1.]]
    """
    groups, embeddings = to_float32(groups), to_float32(embeddings)
    check_rank("groups", groups, ("num_groups", "dim"))
    check_rank("embeddings", embeddings, ("batch", "dim"))
    # A product, not a sum over segments, whose gradient not all backends have.
    of_group = ops.one_hot(ops.cast(assignments, "int32"), groups.shape[0], dtype="float32")
    counts = ops.sum(of_group, axis=0)[:, None]
    means = ops.matmul(ops.transpose(of_group), l2_normalize(embeddings)) / ops.maximum(counts, 1.0)
    return l2_normalize(ops.where(counts > 0, momentum * groups + (1 - momentum) * means, groups))
