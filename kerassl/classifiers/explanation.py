"""Why a prototype classifier takes an image for a class: numbers, and a picture of them."""

import os
import pathlib
from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class Explanation:
    """The prototypes that an image was compared with, most similar first.

    Attributes:
        image: `(height, width, channels)` uint8, the image.
        predicted: the class.
        classes: `(number,)` the class of each prototype.
        similarities: `(number,)` float32; larger is more alike.
        prototypes: `(number, h, w, channels)` uint8, a picture of each prototype.
        maps: `(number, rows, columns)` float32, how much each place in the image adds to a similarity, or
            `None` where the network does not tell places apart.

    Example:
        >>> import numpy as np
        >>> from kerassl.classifiers import Explanation
        >>> gray = np.full((1, 8, 8, 1), 128, "uint8")
        >>> explanation = Explanation(gray[0], 3, np.array([3]), np.array([0.9], "float32"), gray, None)
        >>> explanation.summary()
        '3 (0.90)'
    """

    image: np.ndarray
    predicted: int
    classes: np.ndarray
    similarities: np.ndarray
    prototypes: np.ndarray
    maps: np.ndarray | None

    def summary(self, class_names: tuple[str, ...] | None = None) -> str:
        """The prototypes' classes and similarities in a line."""
        names = [class_names[c] if class_names else str(c) for c in self.classes]
        pairs = zip(names, self.similarities, strict=True)
        return ", ".join(f"{name} ({similarity:.2f})" for name, similarity in pairs)

    def picture(self, size: int = 96) -> np.ndarray:
        """The image, then each prototype above the image under its map: uint8 `(2 size, (1 + n) size, 3)`.

        Args:
            size: side in pixels of each of the pictures.
        """
        own = shown(self.image, size)
        columns = [np.concatenate([own, np.full_like(own, 255)])]
        for index, prototype in enumerate(self.prototypes):
            below = own if self.maps is None else _under_map(own, self.maps[index])
            columns.append(np.concatenate([shown(prototype, size), below]))
        return np.concatenate(columns, axis=1)

    def save(self, path: str | os.PathLike, size: int = 96) -> pathlib.Path:
        """Writes `picture` as a PNG.

        Raises:
            ImportError: if Pillow is missing.
        """
        path = pathlib.Path(path)
        keras.utils.save_img(str(path), self.picture(size), scale=False)
        return path


def shown(image: np.ndarray, size: int) -> np.ndarray:
    """An image of any channels as uint8 `(size, size, 3)`."""
    image = np.asarray(image, "float32")
    if image.shape[-1] < 3:
        image = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    return resized(image[..., :3], size)


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """An image in [0, 255] as uint8 `(size, size, channels)`, each pixel the mean of what it covers."""

    def shares(side: int):
        edges = np.arange(size + 1) * side / size
        pixels = np.arange(side)
        covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return np.maximum(covered, 0) * size / side

    rows, columns = (shares(side) for side in image.shape[:2])
    made = np.einsum("ih,jw,hwc->ijc", rows, columns, image, optimize=True)
    return np.clip(made, 0, 255).round().astype("uint8")


def _under_map(image: np.ndarray, map_: np.ndarray) -> np.ndarray:
    """The picture, dark where a map is low."""
    low, high = map_.min(), map_.max()
    light = (map_ - low) / (high - low) if high > low else np.ones_like(map_)
    rows, columns = (np.arange(image.shape[i]) * light.shape[i] // image.shape[i] for i in (0, 1))
    return (image * (0.2 + 0.8 * light[rows][:, columns, None])).round().astype("uint8")
