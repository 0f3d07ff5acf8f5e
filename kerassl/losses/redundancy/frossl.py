"""The Frobenius norm loss of FroSSL."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, gram, l2_normalize, stack_views


def frossl(views: KerasTensor, invariance_weight: float | KerasTensor = 1.0) -> KerasTensor:
    """Flattens the spectrum of every view's second moment, and pulls the views together.

    The columns of each view are divided by their norm over the batch, not centered. With `K_v` the matrix
    `Z_v^T Z_v` over its trace and `M` the mean of the V normalized views, `L = sum_v (2 log |K_v|_F + w V D
    mean((Z_v - M)^2))`. The first term is the negated entropy, of order 2, of the eigenvalues: lowest if all
    are equal. Symmetric in the views; nothing is detached. There is no per-image value, hence no `reduction`:
    the columns are normalized over the batch. For a loss over several devices, gather the views first.

    Paper: Skean et al., FroSSL: Frobenius Norm Minimization for Efficient Multiview Self-Supervised Learning,
    arXiv 2310.02903, section 4. Official code: OFSkean/FroSSL, solo/losses/frossl.py, the function for
    several views; its older function for two views also centers the columns.

    Args:
        views: `(num_views, batch, dim)` un-normalized embeddings, or a tuple of `(batch, dim)`.
        invariance_weight: w, a positive number or scalar tensor.

    Returns:
        A float32 scalar; the first term lies between -V log(min(batch, dim)) and 0, its value for collapsed
        embeddings.

    Raises:
        ValueError: for a wrong rank, shapes that differ, or a weight <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import frossl
        >>> print(f"{float(frossl([np.eye(4), np.eye(4)])):.4f}")
        -2.7726
    """
    check_positive("invariance_weight", invariance_weight)
    views = ops.unstack(stack_views("views", views))
    # Columns of length one. View by view: XLA takes longer for the products of all at once.
    views = [l2_normalize(view, axis=0) for view in views]
    mean = sum(views) / len(views)
    weight = ops.cast(invariance_weight, "float32") * len(views) * mean.shape[1]
    return sum(_negative_entropy(z) + weight * ops.mean(ops.square(z - mean)) for z in views)


def _negative_entropy(z: KerasTensor):
    batch, dim = z.shape
    # Both products have the same eigenvalues other than 0; take the smaller one.
    few = batch is not None and batch < dim
    products = gram(ops.transpose(z) if few else z)
    trace = ops.sum(ops.square(z))
    # Zero embeddings count as collapsed.
    empty = trace < 0.5
    squares = ops.where(empty, 1.0, ops.sum(ops.square(products)))
    return ops.log(squares) - 2.0 * ops.log(ops.where(empty, 1.0, ops.stop_gradient(trace)))
