"""Image files that are decoded when indexed, and facts from their headers."""

import pathlib
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kerassl.data.image.decode import (
    Header,
    choose_value_range,
    decode_all,
    decode_image,
    in_threads,
    read_header,
    warn_of_missing,
    with_progress,
)
from kerassl.data.lazy_images import LazyImages


class ImageFiles(LazyImages):
    """Image files in a fixed order, decoded when they are asked for, on all cores.

    A file that breaks off is only found out then: the next readable file of the same class takes its place,
    always the same one, and a warning names it once.

    Args:
        paths: files with whole headers, as `read_headers` leaves them.
        image_size: (height, width) to resize (shorter side) and center-crop to.
        channels: 1 or 3.
        labels: `(number,)` integers, the classes of the files, or None where all are of one.
        value_range: as in `decode_image`.

    Attributes:
        paths: the files.
        shape: `(number, height, width, channels)`.
        dtype: uint8, or float32 with a `value_range`.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from kerassl.data import ImageFiles
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "gray.png")
        ...     Image.fromarray(np.full((4, 6), 7, "uint8")).save(path)
        ...     files = ImageFiles([path, path], (2, 2), channels=1)
        ...     images = files[:1]
        >>> files.shape, images.ravel().tolist()
        ((2, 2, 2, 1), [7, 7, 7, 7])
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        image_size: tuple[int, int],
        channels: int,
        labels: np.ndarray | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.paths = np.array(paths, object)
        self.shape = (len(self.paths), *image_size, channels)
        self.value_range = value_range
        self.dtype = np.dtype("uint8" if value_range is None else "float32")
        self._labels = None if labels is None else np.asarray(labels)
        self._broken: set[int] = set()

    def __repr__(self) -> str:
        return f"ImageFiles({len(self)} files, read as {self.shape[1:]} {self.dtype})"

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Returns the images of `(number,)` rows."""
        images = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, image in enumerate(in_threads(self._replaced, rows.tolist())):
            images[place] = image
        return images

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the images of all files that can be read, and booleans that say which files these are."""
        if not len(self):
            return np.empty(self.shape, self.dtype), np.ones(0, bool)
        names = [str(path) for path in self.paths]
        return decode_all(self.paths, names, self.shape[1:3], self.shape[3], self.value_range)

    def _attempt(self, row: int) -> np.ndarray | str:
        path, (_, height, width, channels) = self.paths[row], self.shape
        try:
            return decode_image(path, str(path), (height, width), channels, self.value_range)
        except ValueError as error:
            return str(error)

    def _replaced(self, row: int) -> np.ndarray:
        image = self._attempt(row)
        if isinstance(image, np.ndarray):
            return image
        for place in self._same_class_after(row):
            other = self._attempt(int(place))
            if isinstance(other, np.ndarray):
                if row not in self._broken:
                    self._broken.add(row)
                    warnings.warn(f"{image} Until then {self.paths[place]} takes its place.", stacklevel=2)
                return other
        of_class = "" if self._labels is None else f" of the class of {self.paths[row]}"
        raise ValueError(f"No image file{of_class} can be read. {image}")

    def _same_class_after(self, row: int) -> np.ndarray:
        rows = np.roll(np.arange(len(self)), -row - 1)[:-1]
        return rows if self._labels is None else rows[self._labels[rows] == self._labels[row]]


class Headers(NamedTuple):
    """Facts from the headers of a data set's image files.

    Attributes:
        kept: `(number,)` booleans, which files are images.
        sizes: their sizes (height, width).
        channels: 1 where all are gray, else 3.
        value_range: the values of 16-bit, 32-bit and float gray files that become 0 and 255, or None where
            there are no such files.
    """

    kept: np.ndarray
    sizes: set[tuple[int, int]]
    channels: int
    value_range: tuple[float, float] | None


def read_headers(
    sources: Sequence[pathlib.Path | bytes],
    names: Sequence[str],
    value_range: tuple[float, float] | None = None,
) -> Headers:
    """Reads the headers of image files, and the values of files of more than 8 bits.

    A warning says how many are not images, and how values of more than 8 bits are scaled. A progress bar
    appears when it takes more than two seconds.

    Args:
        sources: paths or bytes of files.
        names: the name of each in a warning.
        value_range: the range to use where there are values of more than 8 bits; by default the rule of
            `choose_value_range` over these files.

    Raises:
        ValueError: if none is an image, or for a `value_range` that is not two increasing numbers.
    """
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ValueError(f"value_range must be (black, white) with black < white; got {value_range}.")

    def attempt(pair: tuple) -> Header | str:
        try:
            return read_header(*pair)
        except ValueError as error:
            return str(error)

    pairs = list(zip(sources, names, strict=True))
    headers = list(with_progress(in_threads(attempt, pairs), len(pairs)))
    kept = np.array([isinstance(one, Header) for one in headers], bool)
    if not kept.any():
        raise ValueError(headers[0])
    if not kept.all():
        warn_of_missing([name for name, keep in zip(names, kept, strict=True) if not keep], len(names))
    found = [one for one in headers if isinstance(one, Header)]
    chosen = choose_value_range(found)
    if chosen is not None:
        value_range, rule = (value_range, "as given") if value_range is not None else chosen
        deep = [
            name for name, one in zip(names, headers, strict=True) if isinstance(one, Header) and one.deep
        ]
        _warn_of_depth(deep, len(names), value_range, rule)
    channels = 1 if all(one.gray for one in found) else 3
    return Headers(kept, {one.size for one in found}, channels, value_range if chosen else None)


def find_value_range(paths: Sequence[str | pathlib.Path]) -> tuple[float, float] | None:
    """Returns the values of 16-bit, 32-bit and float gray files that stand for black and white.

    `kerassl.data.load` finds them automatically; `decode_image` takes them. The rule, over all files
    together:

    * integers from 0 to 65,535: (0, 2^b - 1), b the first of 8, 10, 12, 14 and 16 bits that holds them all;
    * floats in [0, 1]: (0, 1); other floats in [0, 255]: (0, 255), that is, they are kept;
    * all others: (the smallest value, the largest value).

    Args:
        paths: all files of the data set. Those that cannot be read do not count.

    Returns:
        (black, white), or None where all files have 8 bits.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from kerassl.data import find_value_range
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "scan.png")
        ...     Image.fromarray(np.full((4, 6), 4000, "uint16")).save(path)
        ...     find_value_range([path])
        (0.0, 4095.0)
    """

    def attempt(path: str | pathlib.Path) -> Header | None:
        try:
            return read_header(pathlib.Path(path), str(path))
        except ValueError:
            return None

    headers = with_progress(in_threads(attempt, paths), len(paths))
    chosen = choose_value_range([header for header in headers if header is not None])
    return None if chosen is None else chosen[0]


def _warn_of_depth(names: list[str], total: int, value_range: tuple[float, float], rule: str):
    low, high = value_range
    warnings.warn(
        f"{len(names)} of {total} files hold gray values of more than 8 bits, e.g. {names[0]}. The whole "
        f"data set is read as float32, and their values from {low:g} to {high:g} are scaled to [0, 255] "
        f"(rule: {rule}). Pass value_range=(black, white) to kerassl.data.load for other values.",
        stacklevel=2,
    )
