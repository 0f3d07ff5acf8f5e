"""Separable resampling as two matrix products: per-sample, compilable, one code on three backends.

Images go through here as `(batch, height, channels, width)`, so that both products are plain batched
matrix products without a transpose in between. Of large images most of such a matrix is zero; `bands` hold
what is not, a window of the input for each tile of the output.
"""

import math

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.views.base import uniform

INTERPOLATIONS = ("bilinear", "bicubic")
ATTEMPTS = 10
# Output pixels whose weights share a window of the input.
TILE = 32


def to_scanlines(images: KerasTensor) -> KerasTensor:
    """Returns `(batch, height, width, channels)` images as float32 `(batch, height, channels, width)`."""
    return ops.transpose(ops.cast(images, "float32"), (0, 1, 3, 2))


def from_scanlines(scanlines: KerasTensor) -> KerasTensor:
    """Returns `(batch, height, channels, width)` as `(batch, height, width, channels)`."""
    return ops.transpose(scanlines, (0, 1, 3, 2))


def check_interpolation(interpolation: str) -> str:
    """Returns `interpolation` if it is known, and raises `ValueError` otherwise."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {INTERPOLATIONS}; got {interpolation!r}.")
    return interpolation


def triangle(distance: KerasTensor) -> KerasTensor:
    """The bilinear kernel: 1 - |d| within one pixel."""
    return ops.relu(1.0 - ops.abs(distance))


def cubic(distance: KerasTensor) -> KerasTensor:
    """The cubic kernel of Keys (1981) with a = -0.5, which Pillow uses."""
    d = ops.abs(distance)
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return ops.where(d < 1.0, near, ops.where(d < 2.0, far, 0.0))


def interpolation_matrix(
    start: float | KerasTensor,
    length: float | KerasTensor,
    size_in: int | KerasTensor,
    size_out: int,
    interpolation: str = "bilinear",
    flip: KerasTensor | None = None,
) -> KerasTensor:
    """The matrix that resizes the interval [start, start + length) of an axis to `size_out` pixels.

    As Pillow's crop and then resize: the kernel is widened by the reduction factor (antialiasing), sees
    only the pixels whose center lies in the interval, and its weights sum to one.

    Args:
        start: `(batch,)` or `()` float, first edge of the interval, in pixels.
        length: the same shape or `()`, length of the interval, in pixels.
        size_in: pixels of the input axis; may be a tensor.
        size_out: pixels of the output axis.
        interpolation: "bilinear" or "bicubic".
        flip: `(batch,)` booleans, the samples whose output is mirrored, or `None`.

    Returns:
        float32 `(batch, size_out, size_in)`, or `(size_out, size_in)`.
    """
    # `expand_dims`, not indexing: tf2onnx mistranslates an ellipsis next to a new axis.
    start, length = (ops.expand_dims(ops.cast(v, "float32"), -1) for v in (start, length))
    index = ops.arange(size_out, dtype="float32")
    if flip is not None:
        index = ops.where(ops.expand_dims(flip, -1), size_out - 1.0 - index, index)
    step = length / size_out
    center = ops.expand_dims(start + (index + 0.5) * step - 0.5, -1)
    pixel = ops.cast(ops.arange(size_in, dtype="int32"), "float32")
    widening = ops.expand_dims(1.0 / ops.maximum(step, 1.0), -1)
    kernel = triangle if interpolation == "bilinear" else cubic
    weight = kernel((pixel - center) * widening)
    # At least one pixel center is within half a pixel of the middle of the shortest interval.
    inside = ops.abs(pixel - (start + length / 2.0 - 0.5)) <= ops.maximum(length, 1.0) / 2.0
    weight = weight * ops.expand_dims(ops.cast(inside, "float32"), -2)
    return weight / ops.sum(weight, axis=-1, keepdims=True)


def tiles(size_out: int, margin: int = 0) -> np.ndarray:
    """Output pixels that each tile needs, `(tiles, TILE + 2 * margin)` or fewer where there are not so many.

    The last tile may overrun: it repeats the last pixel.
    """
    starts = np.arange(-(-size_out // TILE)) * TILE
    if not margin:
        return np.minimum(starts[:, None] + np.arange(TILE), size_out - 1)
    count = min(TILE + 2 * margin, size_out)
    return np.clip(starts - margin, 0, size_out - count)[:, None] + np.arange(count)


def window_size(size_in: int, size_out: int, interpolation: str, margin: int = 0) -> int:
    """Input pixels that a tile of output pixels needs at most."""
    reach = (1 if interpolation == "bilinear" else 2) * max(size_in / size_out, 1.0)
    count = tiles(size_out, margin).shape[1]
    return min(math.ceil((count - 1) * size_in / size_out + 2 * reach) + 1, size_in)


def pays_in_bands(size_in: int | None, size_out: int, interpolation: str, margin: int = 0) -> bool:
    """Whether so much of an interpolation matrix is zero that its bands are quicker to apply."""
    return size_in is not None and 2 * window_size(size_in, size_out, interpolation, margin) <= size_in


def interpolation_bands(
    start: KerasTensor,
    length: KerasTensor,
    size_in: int,
    size_out: int,
    interpolation: str = "bilinear",
    flip: KerasTensor | None = None,
    margin: int = 0,
) -> tuple[KerasTensor, KerasTensor]:
    """The matrix of `interpolation_matrix` without most of its zeros.

    Args:
        start: `(batch,)` float, first edge of the interval, in pixels.
        length: `(batch,)` float, length of the interval, in pixels.
        size_in: pixels of the input axis.
        size_out: pixels of the output axis.
        interpolation: "bilinear" or "bicubic".
        flip: `(batch,)` booleans, the samples whose output is mirrored, or `None`.
        margin: output pixels to either side of a tile that are needed with it.

    Returns:
        int32 `(batch, tiles)`, the first pixel of each tile's window, and float32
        `(batch, tiles, pixels, window)`, the weights of the output pixels that `tiles` names.
    """
    window = window_size(size_in, size_out, interpolation, margin)
    start, length = (ops.cast(v, "float32")[:, None, None] for v in (start, length))
    index = ops.cast(tiles(size_out, margin), "float32")[None]
    if flip is not None:
        index = ops.where(flip[:, None, None], size_out - 1.0 - index, index)
    step = length / size_out
    centers = start + (index + 0.5) * step - 0.5
    widening = ops.maximum(step, 1.0)
    reach = (1.0 if interpolation == "bilinear" else 2.0) * widening
    first = ops.ceil(ops.min(centers, axis=-1, keepdims=True) - reach)
    first = ops.clip(first, 0.0, float(size_in - window))
    pixels = first + ops.arange(window, dtype="float32")
    kernel = triangle if interpolation == "bilinear" else cubic
    weights = kernel((pixels[:, :, None, :] - centers[..., None]) / widening[..., None])
    inside = ops.abs(pixels - (start + length / 2.0 - 0.5)) <= ops.maximum(length, 1.0) / 2.0
    weights = weights * ops.cast(inside, "float32")[:, :, None, :]
    return ops.cast(first[..., 0], "int32"), weights / ops.sum(weights, axis=-1, keepdims=True)


def resample_in_bands(images: KerasTensor, rows: tuple, columns: tuple, size: tuple[int, int]) -> KerasTensor:
    """Applies bands to the rows and the columns of each image.

    Args:
        images: `(batch, height, width, channels)` of any dtype.
        rows: what `interpolation_bands` returned for the rows, weights for the pixels of the tiles alone.
        columns: the same for the columns.
        size: new height and width.

    Returns:
        float32 `(batch, new_height, channels, new_width)`.
    """
    _, height, width, channels = ops.shape(images)
    # Columns first, as bytes: what has to be transposed is then the smallest.
    x = ops.reshape(ops.transpose(images, (0, 2, 1, 3)), (-1, width, height * channels))
    x = ops.reshape(_apply_bands(x, *columns, size_out=size[1]), (-1, size[1], height, channels))
    x = ops.reshape(ops.transpose(x, (0, 2, 3, 1)), (-1, height, channels * size[1]))
    return ops.reshape(_apply_bands(x, *rows, size_out=size[0]), (-1, size[0], channels, size[1]))


def _apply_bands(x: KerasTensor, first: KerasTensor, weights: KerasTensor, size_out: int) -> KerasTensor:
    """`(batch, size_in, n)` as float32 `(batch, size_out, n)`."""
    batch, size_in, n = ops.shape(x)
    count, _, window = weights.shape[1:]
    places = first[:, :, None] + ops.arange(window, dtype="int32")
    places = places + (ops.arange(batch, dtype="int32") * size_in)[:, None, None]
    windows = ops.take(ops.reshape(x, (-1, n)), places, axis=0)
    made = ops.matmul(weights, ops.cast(windows, "float32"))
    return ops.reshape(made, (-1, count * TILE, n))[:, :size_out]


def resample(scanlines: KerasTensor, rows: KerasTensor, columns: KerasTensor) -> KerasTensor:
    """Applies a matrix to the rows and one to the columns of each image.

    Args:
        scanlines: `(batch, height, channels, width)`.
        rows: `(batch or 1, new_height, height)`.
        columns: `(batch or 1, new_width, width)`.

    Returns:
        `(batch, new_height, channels, new_width)`.
    """
    _, height, channels, width = ops.shape(scanlines)
    new_height, new_width = rows.shape[-2], columns.shape[-2]
    half = ops.matmul(rows, ops.reshape(scanlines, (-1, height, channels * width)))
    half = ops.reshape(half, (-1, new_height * channels, width))
    out = ops.matmul(half, ops.swapaxes(columns, -2, -1))
    return ops.reshape(out, (-1, new_height, channels, new_width))


def random_boxes(
    seed: keras.random.SeedGenerator,
    batch: int | KerasTensor,
    height: int | KerasTensor,
    width: int | KerasTensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[KerasTensor, KerasTensor, KerasTensor, KerasTensor]:
    """Draws crop boxes as torchvision's RandomResizedCrop does, to a fraction of a pixel.

    Area uniform in `scale` times the image's, aspect ratio log-uniform in `ratio`; the first of ten
    draws that fits is taken, and the largest centered box of an allowed ratio where none does.

    Args:
        seed: the generator to draw from.
        batch: number of boxes.
        height: image height in pixels.
        width: image width in pixels.
        scale: `(low, high)`, share of the image's area.
        ratio: `(low, high)`, width over height.

    Returns:
        Four `(batch,)` float32: top, left, height, width, in pixels.
    """
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    area = uniform(seed, (batch, ATTEMPTS), *scale) * height * width
    aspect = ops.exp(uniform(seed, (batch, ATTEMPTS), math.log(ratio[0]), math.log(ratio[1])))
    box_width, box_height = ops.sqrt(area * aspect), ops.sqrt(area / aspect)
    # A whole-image box may come out a rounding error too large.
    fits = (box_width <= width * 1.0001) & (box_height <= height * 1.0001)
    first = ops.one_hot(ops.argmax(ops.cast(fits, "int32"), axis=-1), ATTEMPTS, dtype="float32")
    found = ops.any(fits, axis=-1)
    box_width = ops.where(found, ops.sum(first * box_width, axis=-1), height * ratio[1])
    box_height = ops.where(found, ops.sum(first * box_height, axis=-1), width / ratio[0])
    box_width, box_height = ops.minimum(box_width, width), ops.minimum(box_height, height)
    place = ops.where(found[:, None], uniform(seed, (batch, 2)), 0.5)
    return (height - box_height) * place[:, 0], (width - box_width) * place[:, 1], box_height, box_width
