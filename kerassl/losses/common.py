"""Common parts of all losses: float32, a normalization with a gradient at zero, reductions and checks."""

import difflib
import numbers

from keras import KerasTensor, ops

REDUCTIONS = ("mean", "none")


def to_float32(x: KerasTensor) -> KerasTensor:
    """Returns `x` as a float32 tensor, regardless of its dtype."""
    return ops.cast(x, "float32")


def l2_normalize(x: KerasTensor, axis: int = -1) -> KerasTensor:
    """Divides a float32 `x` by its norms along an axis; one below 1e-12 gives zero, with zero gradient.

    Dividing by `max(norm, eps)` instead would hand a zero row a gradient of 1 / eps.
    """
    return x * ops.expand_dims(_inverse_norm(x, axis), axis)


def cosine(a: KerasTensor, b: KerasTensor) -> KerasTensor:
    """Returns the cosine of each row of `a` with the same row of `b`, 0 where either is zero."""
    # Norms divide the product, not the rows, to read and write each row only once.
    return ops.sum(a * b, axis=-1) * _inverse_norm(a) * _inverse_norm(b)


def standardize(z: KerasTensor) -> KerasTensor:
    """Columns of a float32 `z` with mean 0 and biased variance 1, as a batch norm without weights does."""
    centered = z - ops.mean(z, axis=0)
    return centered * ops.rsqrt(ops.mean(ops.square(centered), axis=0) + 1e-5)


def squared_distances(a: KerasTensor, b: KerasTensor) -> KerasTensor:
    """`(..., n, m)` of rows `(..., n, dim)` and `(..., m, dim)`."""
    squares = ops.sum(ops.square(a), axis=-1)[..., :, None] + ops.sum(ops.square(b), axis=-1)[..., None, :]
    return squares - 2.0 * ops.matmul(a, ops.swapaxes(b, -2, -1))


def gram(x: KerasTensor) -> KerasTensor:
    """`x^T x`, `(..., dim, dim)` of rows `(..., n, dim)`, whose gradient takes one product instead of two.

    The gradients of the left and of the right factor are equal if the upstream gradient is symmetric, which
    the last line ensures: twice the gradient of the right factor is the total.
    """
    detached = ops.stop_gradient(x)
    product = ops.matmul(ops.swapaxes(detached, -2, -1), 2.0 * x - detached)
    return (product + ops.swapaxes(product, -2, -1)) / 2.0


def _inverse_norm(x: KerasTensor, axis: int = -1):
    squared = ops.sum(ops.square(x), axis=axis)
    nonzero = squared > 1e-24
    return ops.where(nonzero, ops.rsqrt(ops.where(nonzero, squared, 1.0)), 0.0)


def reduce(per_sample: KerasTensor, reduction: str) -> KerasTensor:
    """Applies a checked `reduction` to a `(batch,)` loss."""
    return ops.mean(per_sample) if reduction == "mean" else per_sample


def check_reduction(reduction: str) -> None:
    """Raises a ValueError unless `reduction` is a known one."""
    if reduction not in REDUCTIONS:
        near = difflib.get_close_matches(str(reduction), REDUCTIONS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"reduction={reduction!r} is unknown; use one of {REDUCTIONS}.{hint}")


def check_positive(name: str, value: float | KerasTensor) -> None:
    """Raises a ValueError unless a Python number is positive and finite; tensors are not checked."""
    if isinstance(value, numbers.Real) and not 0 < value < float("inf"):
        raise ValueError(f"{name}={value} must be a positive finite number, for instance 0.1.")


def check_not_negative(name: str, value: float | KerasTensor) -> None:
    """Raises a ValueError unless a Python number is at least 0 and finite; tensors are not checked."""
    if isinstance(value, numbers.Real) and not 0 <= value < float("inf"):
        raise ValueError(f"{name}={value} must be a finite number, at least 0.")


def check_rank(name: str, x: KerasTensor, axes: tuple[str, ...]) -> None:
    """Raises a ValueError unless `x` has the named axes."""
    if len(x.shape) != len(axes):
        raise ValueError(
            f"{name} has shape {tuple(x.shape)} but must be ({', '.join(axes)}); reshape or pool it first."
        )


def check_same_shape(name_a: str, a: KerasTensor, name_b: str, b: KerasTensor) -> None:
    """Raises a ValueError where two static shapes differ; unknown dimensions agree with all."""
    shapes = tuple(a.shape), tuple(b.shape)
    same_rank = len(shapes[0]) == len(shapes[1])
    if not same_rank or any(None not in pair and pair[0] != pair[1] for pair in zip(*shapes, strict=True)):
        raise ValueError(
            f"{name_a} has shape {shapes[0]} but {name_b} has shape {shapes[1]}; they must be equal, "
            "row i of both coming from the same image."
        )


def embeddings(name_a: str, a: KerasTensor, name_b: str, b: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Returns two checked `(batch, dim)` inputs in float32."""
    a, b = to_float32(a), to_float32(b)
    for name, x in ((name_a, a), (name_b, b)):
        check_rank(name, x, ("batch", "dim"))
    check_same_shape(name_a, a, name_b, b)
    return a, b


def stack_views(name: str, views: KerasTensor, at_least: int = 1) -> KerasTensor:
    """Checked embeddings `(num_views, batch, dim)` in float32, from a tensor or a tuple of `(batch, dim)`."""
    if isinstance(views, (tuple, list)):
        first = ops.convert_to_tensor(views[0])
        for i, view in enumerate(views):
            check_same_shape(f"{name}[0]", first, f"{name}[{i}]", ops.convert_to_tensor(view))
        views = ops.stack([to_float32(view) for view in views])
    views = to_float32(views)
    check_rank(name, views, ("num_views", "batch", "dim"))
    if views.shape[0] is not None and views.shape[0] < at_least:
        needed = "at least two views of an image are" if at_least == 2 else "at least one view is"
        raise ValueError(f"{name} has shape {tuple(views.shape)}; {needed} needed.")
    return views


def unit_views(name: str, views: KerasTensor, at_least: int = 1) -> KerasTensor:
    """As `stack_views`, with rows of length one."""
    views = stack_views(name, views, at_least)
    num_views, batch, dim = ops.shape(views)
    return ops.reshape(l2_normalize(ops.reshape(views, (-1, dim))), (num_views, batch, dim))
