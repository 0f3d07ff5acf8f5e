"""Images that are read where they are indexed: in place of an array that is too large for memory."""

import abc
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from kerassl.data.decode import decode_image, in_threads, is_grey, open_image, with_progress

# Names of files that a warning lists.
_LISTED = 5


class LazyImages(abc.ABC):
    """What stands in for an array of images: it has a shape and a type, and gives the rows it is asked for.

    Attributes:
        shape: `(number, height, width, channels)`.
        dtype: of the images.
    """

    dtype = np.dtype("uint8")
    ndim = 4
    shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes that all images take in memory."""
        return int(np.prod(self.shape, dtype="int64")) * self.dtype.itemsize

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Returns one image, or an array of several."""
        chosen = np.arange(len(self))[rows]
        return self.read(chosen[None])[0] if chosen.ndim == 0 else self.read(chosen)

    @abc.abstractmethod
    def read(self, rows: np.ndarray) -> np.ndarray:
        """Returns the images of `(number,)` rows."""

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        """Returns all images, which must fit in memory then."""
        return self[:].astype(dtype or self.dtype, copy=False)


class ImageFiles(LazyImages):
    """Image files in a fixed order, decoded when they are asked for, on all cores.

    A file that breaks off is only found out then: the readable file after it takes its place, always the same
    one, and a warning names it once.

    Args:
        paths: files with whole headers, as `readable` leaves them.
        image_size: (height, width) to resize (shorter side) and centre-crop to.
        channels: 1 or 3.

    Attributes:
        paths: the files.
        shape: `(number, height, width, channels)`.
        dtype: uint8.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from kerassl.data import ImageFiles
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "grey.png")
        ...     Image.fromarray(np.full((4, 6), 7, "uint8")).save(path)
        ...     files = ImageFiles([path, path], (2, 2), channels=1)
        ...     images = files[:1]
        >>> files.shape, images.ravel().tolist()
        ((2, 2, 2, 1), [7, 7, 7, 7])
    """

    def __init__(self, paths: Sequence[pathlib.Path], image_size: tuple[int, int], channels: int) -> None:
        self.paths = np.array(paths, object)
        self.shape = (len(self.paths), *image_size, channels)
        self._broken: set[int] = set()

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Returns the images of `(number,)` rows."""
        images = np.empty((len(rows), *self.shape[1:]), "uint8")
        for place, image in enumerate(in_threads(self._replaced, rows.tolist())):
            images[place] = image
        return images

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the images of all files that can be read, and booleans that say which files these are."""
        images, kept = np.empty(self.shape, "uint8"), np.ones(len(self), bool)
        found = in_threads(self._attempt, range(len(self)))
        for place, image in enumerate(with_progress(found, len(self))):
            kept[place] = isinstance(image, np.ndarray)
            if kept[place]:
                images[place] = image
        if not kept.all():
            warn_of_missing([str(path) for path in self.paths[~kept]], len(self))
            images = images[kept]
        return images, kept

    def _attempt(self, row: int) -> np.ndarray | str:
        try:
            return decode_image(self.paths[row], str(self.paths[row]), self.shape[1:3], self.shape[3])
        except ValueError as error:
            return str(error)

    def _replaced(self, row: int) -> np.ndarray:
        for step in range(len(self)):
            place = (row + step) % len(self)
            image = self._attempt(place)
            if isinstance(image, np.ndarray):
                return image
            if place not in self._broken:
                self._broken.add(place)
                warnings.warn(f"{image} Until then the file after it takes its place.", stacklevel=2)
        raise ValueError(f"None of {len(self)} image files can be read; the first is {self.paths[0]}.")


class JoinedImages(LazyImages):
    """Several arrays of images, one after the other, some or all of them lazy.

    Args:
        parts: arrays or `LazyImages` of the same height, width and channels.
    """

    def __init__(self, parts: Sequence[np.ndarray | LazyImages]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self.shape = (int(self.ends[-1]), *parts[0].shape[1:])

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Returns the images of `(number,)` rows."""
        images = np.empty((len(rows), *self.shape[1:]), self.dtype)
        owner = np.searchsorted(self.ends, rows, side="right")
        for index, part in enumerate(self.parts):
            mine = owner == index
            if mine.any():
                images[mine] = part[rows[mine] - (self.ends[index] - len(part))]
        return images


def join_images(parts: Sequence[np.ndarray | LazyImages]) -> np.ndarray | JoinedImages:
    """Returns images one after the other: an array where all parts are arrays, else something lazy.

    Args:
        parts: arrays or `ImageFiles` of the same height, width and channels.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import join_images
        >>> join_images([np.zeros((2, 8, 8, 3)), np.zeros((3, 8, 8, 3))]).shape
        (5, 8, 8, 3)
    """
    if any(isinstance(part, LazyImages) for part in parts):
        return JoinedImages(parts)
    return np.concatenate(parts)


def readable(paths: Sequence[pathlib.Path]) -> tuple[np.ndarray, set[tuple[int, int]], int]:
    """Looks at the headers of image files.

    A warning says how many are not images. A progress bar appears when it takes more than two seconds.

    Args:
        paths: the files.

    Returns:
        `(len(paths),)` booleans that say which are images, their sizes (height, width), and the channels that
        hold them all, 1 or 3.

    Raises:
        ValueError: if none is an image.
    """

    def header(path: pathlib.Path) -> tuple | str:
        try:
            with open_image(path, str(path)) as image:
                return (image.height, image.width), is_grey(image)
        except ValueError as error:
            return str(error)

    headers = list(with_progress(in_threads(header, paths), len(paths)))
    kept = np.array([not isinstance(one, str) for one in headers], bool)
    if not kept.any():
        raise ValueError(headers[0])
    if not kept.all():
        warn_of_missing([str(path) for path, keep in zip(paths, kept, strict=True) if not keep], len(paths))
    found = [one for one, keep in zip(headers, kept, strict=True) if keep]
    return kept, {size for size, _ in found}, 1 if all(grey for _, grey in found) else 3


def warn_of_missing(names: list[str], total: int) -> None:
    """Warns of files that are left out."""
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    warnings.warn(
        f"{len(names)} of {total} files cannot be read as images and are left out: {listed}. Remove or "
        "replace them.",
        stacklevel=2,
    )
