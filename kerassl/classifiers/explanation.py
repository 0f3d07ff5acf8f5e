"""Why a prototype classifier takes an image for a class: numbers, and a picture of them."""

import os
import pathlib
from dataclasses import dataclass

import keras
import numpy as np

from kerassl.evaluation.pictures import thumbnail


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
        own = thumbnail(self.image, size)
        columns = [np.concatenate([own, np.full_like(own, 255)])]
        for index, prototype in enumerate(self.prototypes):
            below = own if self.maps is None else _under_map(own, self.maps[index])
            columns.append(np.concatenate([thumbnail(prototype, size), below]))
        return np.concatenate(columns, axis=1)

    def save(self, path: str | os.PathLike, size: int = 96) -> pathlib.Path:
        """Writes `picture` as a PNG.

        Raises:
            ImportError: if Pillow is missing.
        """
        path = pathlib.Path(path)
        keras.utils.save_img(str(path), self.picture(size), scale=False)
        return path


def _under_map(image: np.ndarray, map_: np.ndarray) -> np.ndarray:
    """The picture, dark where a map is low."""
    low, high = map_.min(), map_.max()
    light = (map_ - low) / (high - low) if high > low else np.ones_like(map_)
    rows, columns = (np.arange(image.shape[i]) * light.shape[i] // image.shape[i] for i in (0, 1))
    return (image * (0.2 + 0.8 * light[rows][:, columns, None])).round().astype("uint8")
