"""Image files to arrays of one shape and range, with Pillow."""

import concurrent.futures
import io
import os
import pathlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

# A bar for a wait that one notices, none for a short one.
_SECONDS_BEFORE_PROGRESS = 2.0
# Items that threads may be ahead: all at once would hold a whole data set twice.
_AHEAD = 512
# Names of files that a warning lists.
_LISTED = 5
# Those of cameras and scanners.
_BIT_DEPTHS = (8, 10, 12, 14, 16)


def pillow() -> tuple[Any, Any]:
    """Returns the `PIL` package's `Image` and `ImageOps` modules.

    Raises:
        ImportError: Pillow is missing.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError('Reading images needs pillow: pip install "kerassl[data]"') from error
    return Image, ImageOps


def open_image(source: pathlib.Path | bytes, name: str) -> Any:
    """Returns an opened Pillow image whose header has been read and whose pixels have not.

    Args:
        source: a path or the bytes of a file.
        name: its name in an error.

    Raises:
        ValueError: not an image, or one that Pillow refuses, as it does beyond 179 megapixels.
    """
    Image, _ = pillow()
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    # A damaged header ends in any error: of struct, of zlib, of an index.
    except Exception as error:
        raise ValueError(f"{name} cannot be read as an image: {error}. Remove or replace it.") from error


def is_deep(image: Any) -> bool:
    """Returns whether a Pillow image has one channel of 16-bit, 32-bit or float values."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def is_gray(image: Any) -> bool:
    """Returns whether a Pillow image has one channel."""
    return image.mode in ("1", "L") or is_deep(image)


class Header(NamedTuple):
    """Facts from an image file's header.

    Attributes:
        size: (height, width) in pixels.
        gray: whether it has one channel.
        deep: smallest and largest value, and whether the values are integers, of a 16-bit, 32-bit or float
            gray file; None for any other.
    """

    size: tuple[int, int]
    gray: bool
    deep: tuple[float, float, bool] | None


def read_header(source: pathlib.Path | bytes, name: str) -> Header:
    """Returns an image file's header, and the extreme values of a deep file, which is read whole.

    Args:
        source: a path or the bytes of a file.
        name: its name in an error.

    Raises:
        ValueError: not an image, or a deep one that breaks off or holds NaN.
    """
    with open_image(source, name) as image:
        try:
            deep = None
            if is_deep(image):
                pixels = _deep_values(image, _is_unsigned(image))
                deep = (float(pixels.min()), float(pixels.max()), pixels.dtype.kind in "iu")
            return Header((image.height, image.width), is_gray(image), deep)
        except Exception as error:
            raise _broken(name, error) from error


def choose_value_range(headers: Iterable[Header]) -> tuple[tuple[float, float], str] | None:
    """Returns the values that stand for black and white in the deep gray files of a data set.

    One rule for the whole data set, so that its images stay comparable:

    * integers from 0 to 65,535: [0, 2^b - 1], b the first of 8, 10, 12, 14 and 16 bits that holds them all;
    * floats in [0, 1]: [0, 1]; other floats in [0, 255]: [0, 255], that is, they are kept;
    * all others: [the smallest value, the largest value].

    Args:
        headers: headers of all files of the data set.

    Returns:
        (black, white) and the rule in words, or None where no file is deep.

    Example:
        >>> from kerassl.data.image.decode import Header, choose_value_range
        >>> choose_value_range([Header((8, 8), True, (3.0, 4000.0, True))])
        ((0.0, 4095.0), '12-bit integers')
    """
    deep = [header.deep for header in headers if header.deep is not None]
    if not deep:
        return None
    low, high = min(one[0] for one in deep), max(one[1] for one in deep)
    if low >= 0 and all(integers for *_, integers in deep):
        bits = next((bits for bits in _BIT_DEPTHS if high < 2**bits), None)
        if bits is not None:
            return (0.0, 2.0**bits - 1), f"{bits}-bit integers"
    elif low >= 0 and high <= 255:
        return ((0.0, 1.0), "floats in [0, 1]") if high <= 1 else ((0.0, 255.0), "floats in [0, 255]")
    return (low, high if high > low else low + 1), "smallest and largest value"


def decode_image(
    source: pathlib.Path | bytes,
    name: str,
    image_size: tuple[int, int] | None,
    channels: int,
    value_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Returns one image file as a `(height, width, channels)` array, uint8 or float32 in [0, 255].

    The EXIF orientation is applied and transparency is dropped. Gray files of 16 bits, 32 bits or floats are
    scaled linearly from `value_range` to float32 in [0, 255]; color of 16 bits a channel is read to 8 bits,
    as Pillow does.

    Args:
        source: a path or the bytes of a file.
        name: its name in an error.
        image_size: (height, width) for `resize_and_crop`, or None to keep the file's size.
        channels: 1 or 3.
        value_range: the values of 16-bit, 32-bit or float gray files that become 0 and 255, as
            `find_value_range` chooses them; the result is float32 then, 8-bit files keeping their values.
            None where all files have 8 bits; the result is uint8.

    Raises:
        ValueError: a file that is not an image or breaks off, or values of more than 8 bits without a
            `value_range`.
    """
    _, ImageOps = pillow()
    with open_image(source, name) as image:
        if value_range is None and is_deep(image):
            raise ValueError(
                f"{name} holds 16-bit, 32-bit or float values (Pillow's mode {image.mode}). Pass "
                "value_range, the values that become 0 and 255: (0, 65535), e.g., or that of "
                "kerassl.data.find_value_range."
            )
        try:
            unsigned = _is_unsigned(image)
            image = ImageOps.exif_transpose(image)
            if is_deep(image):
                pixels = _scale(_deep_values(image, unsigned), value_range)
                pixels = np.repeat(pixels[..., None], channels, -1)
            else:
                pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
                pixels = pixels.reshape(*pixels.shape[:2], channels)
                pixels = pixels if value_range is None else pixels.astype("float32")
            return pixels if image_size is None else resize_and_crop(pixels, image_size)
        # A damaged file ends in any error: of struct, of zlib, of an index, of memory.
        except Exception as error:
            raise _broken(name, error) from error


def _broken(name: str, error: Exception):
    return ValueError(f"{name} is a broken image: {error}. Remove or replace it.")


def _is_unsigned(image: Any):
    """Whether a file holds unsigned integers of 32 bits, which Pillow reads into signed ones."""
    tags = getattr(image, "tag_v2", {})
    # The tags of TIFF for the number of bits and for their kind.
    return image.mode == "I" and tags.get(258) == (32,) and tags.get(339, (1,)) == (1,)


def _deep_values(image: Any, unsigned: bool):
    """Integers or floats `(height, width)` of a deep Pillow image."""
    pixels = np.asarray(image)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError("it holds NaN or infinite values")
    return pixels.view("uint32") if unsigned else pixels


def _scale(pixels: np.ndarray, value_range: tuple[float, float]):
    low, high = value_range
    return ((pixels.astype("float64") - low) * (255 / (high - low))).clip(0, 255).astype("float32")


def decode_all(
    sources: Sequence[pathlib.Path | bytes] | np.ndarray,
    names: Sequence[str],
    image_size: tuple[int, int] | None,
    channels: int,
    value_range: tuple[float, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images of all files that can be read, and booleans that say which files these are.

    A warning says how many cannot be read. A progress bar appears after two seconds.

    Args:
        sources: paths or bytes of files.
        names: the name of each in a warning or an error.
        image_size: (height, width), or None to keep the size of the first, which all must then have.
        channels: 1 or 3.
        value_range: as in `decode_image`.

    Returns:
        `(number, height, width, channels)`, uint8 or float32 as `decode_image` gives it, and
        `(len(sources),)` booleans.

    Raises:
        ValueError: another size than the first without `image_size`, or no file that can be read.
    """

    def attempt(pair: tuple) -> np.ndarray | str:
        try:
            return decode_image(*pair, image_size=image_size, channels=channels, value_range=value_range)
        except ValueError as error:
            return str(error)

    images, kept, why = None, np.zeros(len(sources), bool), None
    found = in_threads(attempt, list(zip(sources, names, strict=True)))
    for index, image in enumerate(with_progress(found, len(sources))):
        if isinstance(image, str):
            why = why or image
            continue
        if images is None:
            images = np.empty((len(sources), *image.shape), image.dtype)
        if image.shape != images.shape[1:]:
            raise ValueError(
                f"{names[index]} has shape {image.shape}; the first image has {images.shape[1:]}. "
                "Pass image_size to bring all to one size."
            )
        images[index], kept[index] = image, True
    if images is None:
        raise ValueError(f"None of {len(sources)} image files can be read. {why}")
    if not kept.all():
        warn_of_missing([name for name, keep in zip(names, kept, strict=True) if not keep], len(names))
        images = images[kept]
    return images, kept


def warn_of_missing(names: list[str], total: int) -> None:
    """Warns of files that are left out."""
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    warnings.warn(
        f"{len(names)} of {total} files cannot be read as images and are left out: {listed}. Remove or "
        "replace them.",
        stacklevel=2,
    )


def in_threads(function: Callable[[Any], Any], items: Sequence) -> Iterator:
    """Yields `function(item)` of each item in order, computed on all cores, some hundreds of them ahead."""
    # An accelerator empties eight decoding cores.
    with concurrent.futures.ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        for start in range(0, len(items), _AHEAD):
            yield from pool.map(function, items[start : start + _AHEAD])


def with_progress(items: Iterable, total: int) -> Iterator:
    """Yields items, and shows a progress bar once they have taken more than two seconds."""
    begin, bar = time.monotonic(), None
    for done, item in enumerate(items, 1):
        yield item
        if bar is None and time.monotonic() - begin > _SECONDS_BEFORE_PROGRESS and done < total:
            bar = keras.utils.Progbar(total, unit_name="image")
        if bar is not None and (done % 64 == 0 or done == total):
            bar.update(done)


def resize_and_crop(image: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Returns an image scaled to cover `image_size` (bilinear, antialiased) and cropped at its center.

    For a square `image_size` this is "resize the shorter side, then center crop".

    Args:
        image: `(height, width, channels)` uint8 or float array.
        image_size: (height, width) of the result.

    Returns:
        `(*image_size, channels)` array of the same dtype.
    """
    height, width = image.shape[:2]
    if (height, width) == tuple(image_size):
        return image
    Image, _ = pillow()
    # One resampling instead of a resize and a crop.
    box = covered_box((height, width), image_size)
    size = (image_size[1], image_size[0])
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box))
    # Channels one by one: Pillow would take four channels for RGB with transparency.
    kind = image.dtype if image.dtype == np.uint8 else "float32"
    channels = [
        np.asarray(Image.fromarray(channel.astype(kind)).resize(size, Image.Resampling.BILINEAR, box))
        for channel in np.moveaxis(image, -1, 0)
    ]
    return np.stack(channels, -1).astype(image.dtype)


def covered_box(
    source_size: tuple[int, int], image_size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Returns (left, top, right, bottom) of the part that `resize_and_crop` keeps, in pixels of the image."""
    height, width = source_size
    scale = max(image_size[0] / height, image_size[1] / width)
    box_height, box_width = min(image_size[0] / scale, height), min(image_size[1] / scale, width)
    top, left = (height - box_height) / 2, (width - box_width) / 2
    return left, top, left + box_width, top + box_height


def resize_and_crop_all(images: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Returns `(number, height, width, channels)` images brought to `image_size` by `resize_and_crop`."""
    if images.shape[1:3] == tuple(image_size):
        return images
    return np.stack([resize_and_crop(image, image_size) for image in images])
