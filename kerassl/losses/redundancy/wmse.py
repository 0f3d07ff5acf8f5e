"""The loss of W-MSE: views agree after the embeddings of a sub-batch are whitened."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_reduction,
    cosine,
    gram,
    reduce,
    stack_views,
    to_float32,
)


def wmse(
    views: KerasTensor,
    subbatch_size: int | None = None,
    permutation: KerasTensor | None = None,
    epsilon: float = 1e-4,
    reduction: str = "mean",
) -> KerasTensor:
    """W-MSE: the squared distance of whitened, then normalized embeddings of an image's views.

    The batch is cut into sub-batches; each view of each is whitened separately with `whiten`, and an image's
    loss is the mean over the pairs of its views of `2 - 2 cos`. Symmetric in the views; nothing is detached.
    Statistics cover a sub-batch: a replica that cuts the global batch gathers it first.

    Paper: Ermolov et al., Whitening for Self-Supervised Representation Learning, arXiv 2007.06346, section 3.
    Official code: htdt/self-supervised, methods/w_mse.py, which takes whole sub-batches only.

    Args:
        views: `(num_views, batch, dim)` un-normalized embeddings, at least two views of each image.
        subbatch_size: number of images of a sub-batch, larger than `dim`; `None` for the whole batch. If it
            does not divide the batch, sub-batches are larger and overlap by the few missing images.
        permutation: `(batch,)` integers: the order in which the batch is cut; `None` for the given order.
        epsilon: as in `whiten`.
        reduction: `"mean"`, or `"none"`.

    Returns:
        A float32 scalar in [0, 4], or `(batch,)` with `"none"`; 2 if all embeddings are equal.

    Raises:
        ValueError: for shapes that do not fit, a single view, an unknown reduction, an epsilon <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import wmse
        >>> z = np.random.default_rng(0).normal(size=(8, 3))
        >>> abs(round(float(wmse([z, -z])), 4)), abs(round(float(wmse([z, 5 * z + 1])), 4))
        (4.0, 0.0)
    """
    views = stack_views("views", views, at_least=2)
    check_reduction(reduction)
    num_views, batch, dim = ops.shape(views)
    order = ops.arange(batch, dtype="int32") if permutation is None else ops.cast(permutation, "int32")
    size = batch if subbatch_size is None else subbatch_size
    count = max(batch // size, 1) if isinstance(batch, int) else ops.maximum(batch // size, 1)
    rows = -(-batch // count)
    # If the batch is too small for the last sub-batch, it starts over.
    members = ops.take(order, ops.arange(count * rows, dtype="int32") % batch)
    groups = ops.reshape(ops.take(views, members, axis=1), (num_views, count, rows, dim))
    white = ops.reshape(whiten(groups, epsilon), (num_views, count * rows, dim))[:, :batch]
    pairs = [(i, j) for i in range(views.shape[0]) for j in range(i + 1, views.shape[0])]
    each = sum(2.0 - 2.0 * cosine(white[i], white[j]) for i, j in pairs) / len(pairs)
    if reduction == "none":
        return ops.take(each, ops.argsort(order))
    return reduce(each, reduction)


def whiten(z: KerasTensor, epsilon: float = 1e-4) -> KerasTensor:
    """Whitens rows by the inverse Cholesky factor of their covariance: `L^-1 (z - mean)`, `L L^T = Cov`.

    The covariance is unbiased; its diagonal is multiplied by `1 + epsilon`, without which a batch not much
    larger than `dim` has no Cholesky factor. Exactly invariant, except for epsilon, to shifts and to
    lower-triangular maps, for example scales of dimensions. A constant dimension stays zero. Source: as
    `wmse`, whose official code has no epsilon by default.

    Args:
        z: `(..., batch, dim)`, any number of batches, which are whitened separately.
        epsilon: positive number.

    Returns:
        float32, the shape of `z`.

    Raises:
        ValueError: for an epsilon <= 0.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kerassl.losses import whiten
        >>> white = whiten(np.random.default_rng(0).normal(size=(64, 3)) @ np.triu(np.ones((3, 3))))
        >>> print(np.abs(np.round(np.cov(keras.ops.convert_to_numpy(white).T), 2)))
        [[1. 0. 0.]
         [0. 1. 0.]
         [0. 0. 1.]]
    """
    check_positive("epsilon", epsilon)
    z = to_float32(z)
    centered = z - ops.mean(z, axis=-2, keepdims=True)
    degrees_of_freedom = ops.maximum(ops.cast(ops.shape(z)[-2], "float32") - 1.0, 1.0)
    variance = ops.sum(ops.square(centered), axis=-2, keepdims=True) / degrees_of_freedom
    varies = variance > 1e-24
    # Scaled to variance 1, which changes nothing but the rounding.
    scaled = centered * ops.where(varies, ops.rsqrt(ops.where(varies, variance, 1.0)), 0.0)
    correlation = gram(scaled) / degrees_of_freedom
    # A dimension that does not vary has 0 on the diagonal.
    diagonal = (epsilon + 1.0 - ops.cast(varies, "float32")) * ops.eye(z.shape[-1], dtype="float32")
    factor = ops.cholesky(correlation + diagonal)
    # Solved for the identity: XLA on two cores may hang in the gradient of a solve for whole batches.
    identity = ops.broadcast_to(ops.eye(z.shape[-1], dtype="float32"), ops.shape(factor))
    inverse = ops.solve_triangular(factor, identity, lower=True)
    return ops.matmul(scaled, ops.swapaxes(inverse, -2, -1))
