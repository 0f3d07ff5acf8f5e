"""Explanations of a prototype classifier's prediction: numbers, and a picture of them."""

import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from kerassl.evaluation.pictures import captioned, heated, thumbnail


@dataclass(frozen=True)
class Explanation:
    """The prototypes that an image was compared with, most similar first.

    Attributes:
        image: `(height, width, channels)` uint8, the image.
        predicted: the predicted class.
        classes: `(number,)` the class of each prototype.
        similarities: `(number,)` float32; larger is more similar.
        prototypes: `(number, h, w, channels)` uint8, a picture of each prototype.
        maps: `(number, rows, columns)` float32, contribution of each location in the image to a similarity,
            or `None` if the network has no spatial maps.
        shares: `(number,)` float32, each prototype's share of the predicted class's logit, or `None` if the
            logit is not a sum over prototypes.
        probability: probability of the predicted class, or `None`.

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
    shares: np.ndarray | None = None
    probability: float | None = None

    def summary(self, class_names: Sequence[str] | None = None) -> str:
        """One line with the prototypes' classes and similarities.

        Args:
            class_names: names of the classes; their numbers by default.
        """
        names = [_name(c, class_names) for c in self.classes]
        pairs = zip(names, self.similarities, strict=True)
        return ", ".join(f"{name} ({similarity:.2f})" for name, similarity in pairs)

    def picture(
        self, size: int = 128, class_names: Sequence[str] | None = None, label: int | None = None
    ) -> np.ndarray:
        """The image, then each prototype above the image with its heat map, and captions below.

        The image's caption has the predicted and the true class; a prototype's caption has its class, its
        similarity and its share of the logit. The image is most similar to the prototype in red areas, least
        similar in blue ones.

        Args:
            size: side of each picture in pixels; captions need at least 64.
            class_names: names of the classes; their numbers by default.
            label: the true class, or `None` if unknown.

        Returns:
            uint8 `(height, (1 + n) (size + 4) - 4, 3)`.

        Raises:
            ImportError: if Pillow is missing.
        """
        own = thumbnail(self.image, size)
        words = ["predicted:", _name(self.predicted, class_names)]
        if self.probability is not None:
            words.append(f"probability {self.probability:.2f}")
        if label is not None and label >= 0:
            words.append(f"true: {_name(label, class_names)}")
        columns = [(np.concatenate([own, np.full_like(own, 255)]), words)]
        for index, prototype in enumerate(self.prototypes):
            below = own if self.maps is None else heated(own, self.maps[index])
            words = [_name(self.classes[index], class_names), f"similarity {self.similarities[index]:.2f}"]
            if self.shares is not None:
                words.append(f"{100 * self.shares[index]:.0f} % of the logit")
            columns.append((np.concatenate([thumbnail(prototype, size), below]), words))
        lines = max(len(words) for _, words in columns)
        made = [captioned(picture, words, lines) for picture, words in columns]
        # A white gap of four pixels separates neighbors.
        gapped = [np.pad(one, ((0, 0), (0, 4), (0, 0)), constant_values=255) for one in made]
        return np.concatenate(gapped, axis=1)[:, :-4]

    def save(
        self,
        path: str | os.PathLike,
        size: int = 128,
        class_names: Sequence[str] | None = None,
        label: int | None = None,
    ) -> pathlib.Path:
        """Writes `picture` as a PNG.

        Raises:
            ImportError: if Pillow is missing.
        """
        path = pathlib.Path(path).expanduser()
        keras.utils.save_img(str(path), self.picture(size, class_names, label), scale=False)
        return path


def _name(label: int, class_names: Sequence[str] | None) -> str:
    return str(class_names[label]) if class_names and 0 <= label < len(class_names) else str(label)
