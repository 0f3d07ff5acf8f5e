"""The loss of EMP-SSL: patches of an image agree, and a batch of patches spans a large volume."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    cosine,
    gram,
    l2_normalize,
    to_float32,
    unit_views,
)


def emp_ssl(
    patches: KerasTensor,
    invariance_weight: float | KerasTensor = 200.0,
    distortion: float | KerasTensor = 0.2,
) -> KerasTensor:
    """EMP-SSL: every patch agrees with its image's mean, and a batch of patches has a high coding rate.

    With unit rows z_v of patch v and their mean `M` over patches, `L = -lambda mean_v cos(z_v, M) - mean_v
    R(z_v)`, where R is `total_coding_rate`. Nothing is detached, not even the mean. There is no per-image
    value, hence no `reduction`: the rate is that of a batch. For a loss over several devices, gather the
    patches first.

    Paper: Tong et al., EMP-SSL: Towards Self-Supervised Learning in One Training Epoch, arXiv 2304.03977,
    equation 4. Official code: tsb0601/EMP-SSL, loss.py. lightly's port has the other sign before R.

    Args:
        patches: `(num_patches, batch, dim)` un-normalized embeddings, or a tuple of `(batch, dim)`.
        invariance_weight: lambda, a positive number or scalar tensor.
        distortion: as in `total_coding_rate`.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: for a wrong rank, shapes that differ, or a number <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import emp_ssl
        >>> print(f"{float(emp_ssl(np.ones((20, 8, 4)), distortion=4.0)):.4f}")
        -200.3466
    """
    check_positive("invariance_weight", invariance_weight)
    check_positive("distortion", distortion)
    patches = unit_views("patches", patches)
    mean = ops.mean(patches, axis=0)
    agreement = sum(ops.mean(cosine(patch, mean)) for patch in ops.unstack(patches)) / patches.shape[0]
    return -ops.cast(invariance_weight, "float32") * agreement - ops.mean(_rates(patches, distortion))


def total_coding_rate(z: KerasTensor, distortion: float | KerasTensor = 0.2) -> KerasTensor:
    """`R(Z) = 1/2 log det(I + d / (N epsilon) Z^T Z)` of N rows of length one: the volume that they span.

    The paper has the square of epsilon; the official code and this function have epsilon itself. Source: as
    `emp_ssl`, equation 3.

    Args:
        z: `(batch, dim)` un-normalized embeddings.
        distortion: epsilon, a positive number or scalar tensor.

    Returns:
        A float32 scalar; `1/2 log(1 + d / epsilon)` for collapsed embeddings.

    Raises:
        ValueError: for a wrong rank or a distortion <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import total_coding_rate
        >>> print(f"{float(total_coding_rate(np.ones((100, 1024)))):.4f}")
        4.2706
    """
    check_positive("distortion", distortion)
    z = to_float32(z)
    check_rank("z", z, ("batch", "dim"))
    return _rates(l2_normalize(z)[None], distortion)[0]


def _rates(views: KerasTensor, distortion: float | KerasTensor):
    """`(num_views,)` coding rates of unit rows `(num_views, batch, dim)`."""
    batch, dim = views.shape[1:]
    # Both products give one determinant; take the smaller one.
    few = batch is not None and batch < dim
    products = gram(ops.transpose(views, (0, 2, 1)) if few else views)
    scale = dim / (ops.cast(ops.shape(views)[1], "float32") * ops.cast(distortion, "float32"))
    factor = ops.cholesky(ops.eye(products.shape[1], dtype="float32") + scale * products)
    # Half the logarithm of the determinant.
    return ops.sum(ops.log(ops.diagonal(factor, axis1=1, axis2=2)), axis=1)
