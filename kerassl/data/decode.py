"""Image files to uint8 arrays of one shape, with Pillow."""

import concurrent.futures
import io
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

# A bar for a wait that one notices, none for a short one.
_SECONDS_BEFORE_PROGRESS = 2.0
# Items that threads may be ahead: all at once would hold a whole data set twice.
_AHEAD = 512


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
        name: what to call it in an error.

    Raises:
        ValueError: not an image.
    """
    Image, _ = pillow()
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except OSError as error:
        raise ValueError(f"{name} cannot be read as an image: {error}. Remove or replace it.") from error


def is_grey(image: Any) -> bool:
    """Returns whether a Pillow image has one channel."""
    return image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")


def decode_channels(source: pathlib.Path | bytes) -> int:
    """Returns 1 for a grey image file and 3 for any other."""
    with open_image(source, "The first file") as image:
        return 1 if is_grey(image) else 3


def decode_image(
    source: pathlib.Path | bytes, name: str, image_size: tuple[int, int] | None, channels: int
) -> np.ndarray:
    """Returns one image file as a `(height, width, channels)` uint8 array.

    The EXIF orientation is applied, transparency is dropped, 16-bit grey is scaled to 8 bits.

    Args:
        source: a path or the bytes of a file.
        name: what to call it in an error.
        image_size: (height, width) for `resize_and_crop`, or None to keep the file's size.
        channels: 1 or 3.

    Raises:
        ValueError: a file that is not an image or breaks off.
    """
    Image, ImageOps = pillow()
    with open_image(source, name) as image:
        try:
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{name} is a broken image: {error}. Remove or replace it.") from error
        if isinstance(source, pathlib.Path):
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).astype("int64") >> 8).clip(0, 255).astype("uint8"))
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    return pixels if image_size is None else resize_and_crop(pixels, image_size)


def decode_all(
    sources: Sequence[pathlib.Path | bytes],
    names: Sequence[str],
    image_size: tuple[int, int] | None,
    channels: int,
) -> np.ndarray:
    """Returns image files as one `(number, height, width, channels)` uint8 array.

    A progress bar appears when it takes more than two seconds.

    Args:
        sources: paths or bytes of files.
        names: what to call each in an error.
        image_size: (height, width), or None to keep the size of the first, which all must then have.
        channels: 1 or 3.

    Raises:
        ValueError: a file that is not an image, or another size than the first without `image_size`.
    """
    images = None
    decoded = in_threads(
        lambda pair: decode_image(*pair, image_size, channels), list(zip(sources, names, strict=True))
    )
    for index, pixels in enumerate(with_progress(decoded, len(sources))):
        if images is None:
            images = np.empty((len(sources), *pixels.shape), "uint8")
        if pixels.shape != images.shape[1:]:
            raise ValueError(
                f"{names[index]} has shape {pixels.shape} but the first image has {images.shape[1:]}. "
                "Pass image_size to bring all to one size."
            )
        images[index] = pixels
    return images


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
    """Returns an image scaled to cover `image_size` (bilinear, antialiased) and cropped at its centre.

    For a square `image_size` this is "resize the shorter side, then centre crop".

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
    """Returns (left, top, right, bottom) of what `resize_and_crop` keeps of an image, in its pixels."""
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
