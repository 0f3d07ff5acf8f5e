"""The transformation invariance and covariance contrast of TiCo."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    cosine,
    embeddings,
    l2_normalize,
    reduce,
    to_float32,
)


def tico(
    z1: KerasTensor,
    z2: KerasTensor,
    covariance: KerasTensor,
    covariance_weight: float | KerasTensor = 8.0,
    reduction: str = "mean",
) -> KerasTensor:
    """TiCo: agree with the target, and avoid the directions that recent embeddings occupy.

    With unit rows, `l_i = 1 - <z1_i, z2_i> + rho z1_i^T C z1_i`: one direction. The target `z2` and the
    moving average `C` of `tico_covariance` are detached, so that gradients flow through the outer `z1` of the
    quadratic form alone. The method adds this batch to `C` before the loss.

    Paper: Zhu et al., TiCo: Transformation Invariance and Covariance Contrast for Self-Supervised Visual
    Representation Learning, arXiv 2206.10698, section 3. The authors' code is not public.

    Args:
        z1: `(batch, dim)` un-normalized embeddings of the first views.
        z2: `(batch, dim)` target embeddings of the second views; detached here.
        covariance: `(dim, dim)` moving second moment of normalized embeddings, not centered; detached here.
        covariance_weight: rho, a positive number or scalar tensor.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, or a weight <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import tico
        >>> round(float(tico(np.eye(2), np.eye(2), np.eye(2) / 2)), 4)
        4.0
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    check_positive("covariance_weight", covariance_weight)
    check_reduction(reduction)
    covariance = _checked_covariance(covariance, z1)
    unit = l2_normalize(z1)
    # The matrix is symmetric, so the gradient is twice this product and needs no second one.
    covariance = (covariance + ops.transpose(covariance)) / 2.0
    detached = ops.stop_gradient(unit)
    contrast = ops.sum(ops.matmul(detached, covariance) * (2.0 * unit - detached), axis=1)
    weight = ops.cast(covariance_weight, "float32")
    return reduce(1.0 - cosine(z1, ops.stop_gradient(z2)) + weight * contrast, reduction)


def tico_covariance(z: KerasTensor, covariance: KerasTensor, decay: float = 0.9) -> KerasTensor:
    """`beta C + (1 - beta) z^T z / N` of unit rows: TiCo's moving second moment, without gradient.

    Source: as `tico`.

    Args:
        z: `(batch, dim)` un-normalized embeddings of the global batch.
        covariance: `(dim, dim)`, the moving average over previous batches; zeros at first.
        decay: beta, in [0, 1).

    Returns:
        float32 `(dim, dim)`; its trace is 1 - beta^t after t batches.

    Raises:
        ValueError: for shapes that do not fit, or a decay outside [0, 1).

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import tico_covariance
        >>> print(np.round(np.array(tico_covariance(2 * np.eye(2), np.zeros((2, 2)))), 4))
        [[0.05 0.  ]
         [0.   0.05]]
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay={decay} must lie in [0, 1); the paper uses 0.9.")
    z = to_float32(z)
    check_rank("z", z, ("batch", "dim"))
    covariance = _checked_covariance(covariance, z)
    unit = ops.stop_gradient(l2_normalize(z))
    batch = ops.cast(ops.shape(z)[0], "float32")
    return decay * covariance + (1.0 - decay) * ops.matmul(ops.transpose(unit), unit) / batch


def _checked_covariance(covariance: KerasTensor, z: KerasTensor):
    covariance = ops.stop_gradient(to_float32(covariance))
    if tuple(covariance.shape) != (z.shape[1], z.shape[1]):
        raise ValueError(
            f"covariance has shape {tuple(covariance.shape)} but must be ({z.shape[1]}, {z.shape[1]}), as "
            "wide as the embeddings."
        )
    return covariance
