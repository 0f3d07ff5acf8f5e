"""The regularizer of VISReg: separate terms for center, scale and shape of the embeddings."""

import math

from keras import KerasTensor, ops

from kerassl.losses.common import stack_views
from kerassl.losses.redundancy.sigreg import along

# Added to the standard deviations, as in the official code.
_EPSILON = 1e-6


def visreg(views: KerasTensor, directions: KerasTensor) -> KerasTensor:
    """Distance of the embeddings from a standard Gaussian: the sum of center, scale and shape terms.

    Of each view over the batch, with mean m_d and biased standard deviation s_d of dimension d:
    the center is `mean_d m_d^2`, the scale `mean_d (s_d - 1)^2`. The shape is a sliced Wasserstein distance:
    the standardized embeddings `(z - m) / stopgrad(s)` are sorted along each direction, and
    `mean (y_(i) - q(i / (N + 1)))^2` with the quantiles q of N(0, 1). Gradients flow through all but the
    standard deviation in the shape. There is no per-image value, hence no `reduction`. For a loss over
    several devices gather the views first: sorting needs all of them.

    Paper: Wu et al., VISReg: Variance-Invariance-Sketching Regularization for JEPA training, arXiv
    2606.02572, section 3. Official code: HaiyuWu/visreg, visreg/losses/visreg.py.

    Args:
        views: `(num_views, batch, dim)` embeddings, neither normalized nor standardized, or a tuple of
            `(batch, dim)`.
        directions: `(dim, num_directions)`, drawn anew in every step; the columns' lengths do not matter.

    Returns:
        A float32 scalar, the mean over views.

    Raises:
        ValueError: for shapes that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import visreg
        >>> print(f"{float(visreg([np.zeros((8, 4))], np.eye(4))):.4f}")
        1.5699
    """
    views = stack_views("views", views)
    return center_term(views) + scale_term(views) + shape_term(views, directions)


def center_term(views: KerasTensor) -> KerasTensor:
    """`mean_d m_d^2` of float32 `(num_views, batch, dim)`."""
    return ops.mean(ops.square(ops.mean(views, axis=1)))


def scale_term(views: KerasTensor) -> KerasTensor:
    """`mean_d (s_d - 1)^2`."""
    return ops.mean(ops.square(_deviation(_centered(views)) - 1.0))


def shape_term(views: KerasTensor, directions: KerasTensor) -> KerasTensor:
    """The squared distance of sorted standardized embeddings from the quantiles of N(0, 1)."""
    centered = _centered(views)
    y = along(centered / ops.stop_gradient(_deviation(centered)), directions)
    batch = ops.shape(views)[1]
    positions = ops.cast(ops.arange(1, batch + 1, dtype="int32"), "float32") / ops.cast(batch + 1, "float32")
    quantiles = math.sqrt(2) * ops.erfinv(2.0 * positions - 1.0)
    return ops.mean(ops.square(ops.sort(y, axis=1) - quantiles[None, :, None]))


def _centered(views: KerasTensor):
    return views - ops.mean(views, axis=1, keepdims=True)


def _deviation(centered: KerasTensor):
    """`(num_views, 1, dim)` biased standard deviations, with a gradient of zero where they are zero."""
    variance = ops.mean(ops.square(centered), axis=1, keepdims=True)
    varies = variance > 1e-24
    return ops.where(varies, ops.sqrt(ops.where(varies, variance, 1.0)), 0.0) + _EPSILON
