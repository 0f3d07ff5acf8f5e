"""The maximum manifold capacity loss of MMCR."""

from keras import KerasTensor, ops

from kerassl.losses.common import unit_views

# Each step grows a small singular value by half: this many bring 1e-4 of the largest to 1, and keep a rounded
# zero, some 1e-7, near zero.
_POLAR_STEPS = 28


def mmcr(views: KerasTensor, local_weight: float | KerasTensor = 0.0) -> KerasTensor:
    """Spreads the images' centroids over all directions, and keeps the views of an image together.

    With unit rows z_iv and the centroids `c_i = mean_v z_iv`, not normalized again, `L = -|C|_* + lambda
    mean_i |Z_i|_*`, where `|.|_*` is the sum of the singular values, C the `(batch, dim)` matrix of centroids
    and Z_i the `(num_views, dim)` matrix of an image's views. The better the views agree, the longer their
    centroid is, so the first term alone does both. Nothing is detached. There is no per-image value, hence no
    `reduction`: the singular values are a statistic of the batch, and the loss grows with its size. For a
    loss over several devices, gather the views first.

    Paper: Yerxa et al., Learning Efficient Coding of Natural Images with Maximum Manifold Capacity
    Representations, arXiv 2303.03307, section 3. Official code: ThomasYerxa/mmcr,
    mmcr/cifar_stl/loss_mmcr.py.

    Args:
        views: `(num_views, batch, dim)` un-normalized embeddings, or a tuple of `(batch, dim)`.
        local_weight: lambda, a number or scalar tensor; 0 in the official code.

    Returns:
        A float32 scalar in [-sqrt(batch min(batch, dim)), ...]; -sqrt(batch) for collapsed embeddings.

    Raises:
        ValueError: for a wrong rank, shapes that differ, or a negative weight.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import mmcr
        >>> print(f"{float(mmcr([np.eye(4), np.eye(4)])):.4f}")
        -4.0000
    """
    static = isinstance(local_weight, (int, float))
    if static and not 0 <= local_weight < float("inf"):
        raise ValueError(f"local_weight={local_weight} must be >= 0 and finite; the official code has 0.")
    views = unit_views("views", views)
    loss = -nuclear_norm(ops.mean(views, axis=0))
    if static and local_weight == 0:
        return loss
    of_images = nuclear_norm(ops.transpose(views, (1, 0, 2)))
    return loss + ops.cast(local_weight, "float32") * ops.mean(of_images)


def nuclear_norm(matrices: KerasTensor) -> KerasTensor:
    """The sum of the singular values of float32 matrices `(..., rows, columns)`.

    For `A = U S V^T` it is `<A, U V^T>`, and `U V^T` is its gradient, also for zero and for repeated singular
    values (a subgradient at zero). `U V^T` comes from matrix products alone, the Newton-Schulz iteration `X
    <- X (3 - X^T X) / 2`, which takes every singular value in (0, 1] to 1: XLA needs seconds for the singular
    values of a batch.
    """
    return ops.sum(matrices * ops.stop_gradient(_orthogonal_factor(matrices)), axis=(-2, -1))


def _orthogonal_factor(matrices: KerasTensor):
    """`U V^T`, in which singular values below some 1e-5 of the largest count less, down to zero."""

    def gram(x: KerasTensor):
        return ops.matmul(ops.swapaxes(x, -2, -1), x)

    rows, columns = matrices.shape[-2:]
    wide = rows is not None and rows < columns
    x = ops.swapaxes(matrices, -2, -1) if wide else matrices
    # Rescaled first, so that squares neither overflow nor vanish.
    largest = ops.max(ops.abs(x), axis=(-2, -1), keepdims=True)
    x = x / ops.where(largest > 0, largest, 1.0)
    # The largest singular value is at most the root of the Gram matrix' Frobenius norm.
    bound = ops.sqrt(ops.sqrt(ops.sum(ops.square(gram(x)), axis=(-2, -1), keepdims=True)))
    x = x / ops.where(largest > 0, bound, 1.0)
    x = ops.fori_loop(0, _POLAR_STEPS, lambda _, x: 1.5 * x - 0.5 * ops.matmul(x, gram(x)), x)
    return ops.swapaxes(x, -2, -1) if wide else x
