"""Images that are read when indexed, instead of an array that is too large for memory."""

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np


class LazyImages(abc.ABC):
    """A stand-in for an array of images: it has a shape and a dtype, and returns the requested rows.

    Attributes:
        shape: `(number, height, width, channels)`.
        dtype: dtype of the images.
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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns all images, which must fit in memory then."""
        return self[:].astype(dtype or self.dtype, copy=False)


class JoinedImages(LazyImages):
    """Several concatenated arrays of images, some or all of them lazy.

    Args:
        parts: arrays or `LazyImages` of the same height, width and channels.
    """

    def __init__(self, parts: Sequence[np.ndarray | LazyImages]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self.shape = (int(self.ends[-1]), *parts[0].shape[1:])

    def __repr__(self) -> str:
        return f"JoinedImages({len(self.parts)} parts, {len(self)} images of {self.shape[1:]} {self.dtype})"

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
    """Concatenates images: returns an array where all parts are arrays, else something lazy.

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
