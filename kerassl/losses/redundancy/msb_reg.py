"""The losses of MSBReg: the pull to the centroid of the views, and the spread of the singular values."""

from keras import KerasTensor, ops

from kerassl.losses.asymmetric.byol import byol
from kerassl.losses.common import check_same_shape, stack_views, unit_views
from kerassl.losses.redundancy.mmcr import nuclear_norm


def centroid_attraction(views: KerasTensor, targets: KerasTensor, reduction: str = "mean") -> KerasTensor:
    """BYOL's distance of every view of an image from the centroid of the other views' targets.

    With unit rows, `t_v = mean_{u != v} z_u` and `mean_v (2 - 2 cos(p_v, stopgrad(t_v)))`: with two views the
    mean of BYOL's two directions. No gradient reaches the targets, which are detached inside. A view's own
    target is left out: a student that equals its teacher would agree with it for any views.

    Source: the multiview centroid loss of MSBReg, Moon et al., An Embedding-Dynamic Approach to
    Self-supervised Learning, arXiv 2207.03552. The authors' code is not public.

    Args:
        views: `(num_views, batch, dim)` un-normalized predictions, or a tuple of `(batch, dim)`; two or more.
        targets: `(num_views, batch, dim)` un-normalized embeddings of a teacher, view by view; detached here.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar in [0, 4], or `(batch,)` with `"none"`.

    Raises:
        ValueError: for a wrong rank, shapes that differ, a single view, or an unknown reduction.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import centroid_attraction
        >>> views = np.eye(2)[:, None]
        >>> float(centroid_attraction(views, views)), float(centroid_attraction(views, views[::-1]))
        (2.0, 0.0)
    """
    views, targets = stack_views("views", views, at_least=2), unit_views("targets", targets)
    check_same_shape("views", views, "targets", targets)
    others = ops.sum(targets, axis=0) - targets
    pairs = zip(ops.unstack(views), ops.unstack(others), strict=True)
    return sum(byol(view, other, reduction) for view, other in pairs) / views.shape[0]


def singular_value_dispersion(views: KerasTensor) -> KerasTensor:
    """The squared variation coefficient of the singular values of unit rows, the mean over views.

    With the K = min(batch, dim) singular values s_i of a view's matrix of unit rows and their mean m, `mean_i
    (s_i / m - 1)^2`: 0 if the embeddings fill all directions equally. It needs only the sum of the s_i, the
    nuclear norm, and the sum of their squares, so no singular value is computed. Nothing is detached. There
    is no per-image value, hence no `reduction`. For a loss over several devices, gather the views first.

    Source: the singular value loss of MSBReg, arXiv 2207.03552, which describes this; its own formula was not
    available.

    Args:
        views: `(num_views, batch, dim)` un-normalized embeddings, or a tuple of `(batch, dim)`.

    Returns:
        A float32 scalar in [0, K - 1]: K - 1 for collapsed embeddings.

    Raises:
        ValueError: for a wrong rank or shapes that differ.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import singular_value_dispersion
        >>> print(f"{float(singular_value_dispersion([np.ones((6, 4))])):.4f}")
        3.0000
    """
    views = unit_views("views", views)
    count = ops.cast(ops.minimum(ops.shape(views)[1], views.shape[2]), "float32")
    squares = ops.sum(ops.square(views), axis=(1, 2))
    total = nuclear_norm(views)
    empty = total <= 0
    return ops.mean(count * squares / ops.square(ops.where(empty, 1.0, total)) - ops.where(empty, 0.0, 1.0))
