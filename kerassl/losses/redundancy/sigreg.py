"""The losses of LeJEPA: views predict their mean, and embeddings are distributed as an isotropic Gaussian."""

import numpy as np
from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_rank, l2_normalize, stack_views, to_float32


def sigreg(
    views: KerasTensor, directions: KerasTensor, num_knots: int = 17, largest_frequency: float = 3.0
) -> KerasTensor:
    """SIGReg: distance of the embeddings from a standard Gaussian along random directions.

    Along each direction a the batch has the samples `y = <z, a>`. The Epps-Pulley statistic compares their
    characteristic function with that of N(0, 1), `g(t) = exp(-t^2 / 2)`: `T = N integral g(t) ((mean cos(t y)
    - g(t))^2 + (mean sin(t y))^2) dt` over [-t_max, t_max], by the trapezoid rule; the loss is its mean over
    directions and views. Nothing is detached. There is no per-image value, hence no `reduction`, and the
    statistic grows with the batch. For a loss over several devices with equal shares, average their
    `characteristic_function` with gradients, then apply `epps_pulley`.

    Paper: Balestriero and LeCun, LeJEPA: Provable and Scalable Self-Supervised Learning Without the
    Heuristics, arXiv 2511.08544, section 4. Official code: rbalestr-lab/lejepa,
    lejepa/univariate/epps_pulley.py, lejepa/multivariate/slicing.py.

    Args:
        views: `(num_views, batch, dim)` embeddings, neither normalized nor standardized, or a tuple of
            `(batch, dim)`.
        directions: `(dim, num_directions)`, drawn anew in every step; the columns' lengths do not matter.
        num_knots: number of points of the trapezoid rule in [0, t_max], at least 2.
        largest_frequency: t_max, a positive number.

    Returns:
        A float32 scalar: `0.402 * batch` if all embeddings are 0, about 1.05 for any number of normal
        embeddings.

    Raises:
        ValueError: for shapes that do not fit, fewer than two knots, or a frequency <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import sigreg
        >>> print(f"{float(sigreg([np.zeros((10, 4))], np.eye(4))):.4f}")
        4.0205
    """
    views = stack_views("views", views)
    values = characteristic_function(views, directions, num_knots, largest_frequency)
    return epps_pulley(values, ops.shape(views)[1], largest_frequency)


def characteristic_function(
    views: KerasTensor, directions: KerasTensor, num_knots: int = 17, largest_frequency: float = 3.0
) -> KerasTensor:
    """Means over the batch of `cos(t y)` and `sin(t y)`, y being the embeddings along directions.

    Args:
        views: as in `sigreg`.
        directions: as in `sigreg`.
        num_knots: as in `sigreg`.
        largest_frequency: as in `sigreg`.

    Returns:
        float32 `(2, num_views, num_knots, num_directions)`, cosines first.

    Raises:
        ValueError: as `sigreg`.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import characteristic_function
        >>> tuple(characteristic_function(np.zeros((2, 8, 4)), np.eye(4)).shape)
        (2, 2, 17, 4)
    """
    check_positive("largest_frequency", largest_frequency)
    if num_knots < 2:
        raise ValueError(f"num_knots={num_knots} must be at least 2; the official code has 17.")
    views = stack_views("views", views)
    y = along(views, directions)
    frequencies = np.linspace(0.0, largest_frequency, num_knots, dtype="float32")
    # (num_views, num_knots, batch, num_directions).
    angles = y[:, None] * ops.convert_to_tensor(frequencies[:, None, None])
    return ops.stack([ops.mean(ops.cos(angles), axis=2), ops.mean(ops.sin(angles), axis=2)])


def epps_pulley(
    values: KerasTensor, num_samples: int | KerasTensor, largest_frequency: float = 3.0
) -> KerasTensor:
    """The mean over directions and views of the Epps-Pulley statistic against N(0, 1). Source: as `sigreg`.

    Args:
        values: `(2, num_views, num_knots, num_directions)` from `characteristic_function`.
        num_samples: number of images of the whole batch, which multiplies the statistic.
        largest_frequency: as in `sigreg`.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: for values of a wrong rank.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import characteristic_function, epps_pulley
        >>> values = characteristic_function(np.zeros((2, 10, 4)), np.eye(4))
        >>> print(f"{float(epps_pulley(values, 10)):.4f}")
        4.0205
    """
    values = to_float32(values)
    check_rank("values", values, ("2", "num_views", "num_knots", "num_directions"))
    t = np.linspace(0.0, largest_frequency, values.shape[2])
    gaussian = np.exp(-(t**2) / 2)
    # Both halves of the line are equal.
    weights = np.full(len(t), 2 * (t[1] - t[0]))
    weights[[0, -1]] /= 2
    target = np.zeros((2, 1, len(t), 1), "float32")
    target[0, 0, :, 0] = gaussian
    weights = (weights * gaussian).astype("float32")[:, None]
    errors = ops.sum(ops.square(values - ops.convert_to_tensor(target)), axis=0)
    statistic = ops.sum(errors * ops.convert_to_tensor(weights), axis=1)
    return ops.cast(num_samples, "float32") * ops.mean(statistic)


def view_invariance(views: KerasTensor, num_global_views: int | None = None) -> KerasTensor:
    """Mean squared distance, over views, images and dimensions, from the mean of the global views.

    Nothing is detached, not even the mean. Source: as `sigreg`, section 5.

    Args:
        views: `(num_views, batch, dim)` embeddings, the global views first, or a tuple of `(batch, dim)`.
        num_global_views: number of first views in the mean; `None` for all.

    Returns:
        A float32 scalar >= 0.

    Raises:
        ValueError: for shapes that do not fit, or fewer views than `num_global_views`.

    Example:
        >>> from kerassl.losses import view_invariance
        >>> float(view_invariance([[[1.0, 0.0]], [[-1.0, 0.0]]]))
        0.5
    """
    views = stack_views("views", views)
    if num_global_views is not None and not 1 <= num_global_views <= views.shape[0]:
        raise ValueError(
            f"num_global_views must lie between 1 and the number of views, {views.shape[0]}, "
            f"got {num_global_views}."
        )
    return ops.mean(ops.square(views - ops.mean(views[:num_global_views], axis=0)))


def along(views: KerasTensor, directions: KerasTensor) -> KerasTensor:
    """`(num_views, batch, num_directions)` coordinates along the columns of `directions`, as unit vectors."""
    directions = ops.transpose(to_float32(directions))
    check_rank("directions", directions, ("dim", "num_directions"))
    if directions.shape[1] != views.shape[2]:
        raise ValueError(
            f"directions have {directions.shape[1]} rows, but the embeddings {views.shape[2]} dimensions; "
            "they must be equal."
        )
    return ops.matmul(views, ops.transpose(l2_normalize(directions)))
