"""Checks of images and labels that say what was got, what is needed and how to mend it."""

from typing import Any

import numpy as np

from kerassl.views.base import to_numpy
from kerassl.views.image.base import ImageModality

# A probe of so many classes would not fit into the memory of any device.
MAX_LABEL = 2**24 - 1


def validate_batch(images: Any, labels: Any = None, num_classes: int | None = None) -> None:
    """Raises `ValueError` for images in [0, 255] or labels that cannot be trained on.

    Args:
        images: `(batch, height, width, channels)` array or tensor, uint8 or float in [0, 255].
        labels: `(batch,)` integer array or tensor, -1 for unlabeled, or None.
        num_classes: number of classes; labels must then be in [-1, num_classes).

    Raises:
        ValueError: no images, a rank that is not 4, an axis of length 0, a type that is not a number,
            NaN or infinite pixels, pixels outside [0, 255], labels that are not integers, are out of range or
            differ in number from the images.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import validate_batch
        >>> validate_batch(np.zeros((2, 8, 8, 1), "uint8"), np.array([0, -1]), num_classes=10)
    """
    images = to_numpy(images)
    ImageModality().check(images)
    validate_labels(labels, len(images), num_classes, "images")


def validate_labels(
    labels: Any, number: int, num_classes: int | None = None, modality: str = "examples"
) -> None:
    """Raises `ValueError` for labels, if there are any, that are not one class index for each example.

    Args:
        labels: `(number,)` integer array or tensor, -1 for unlabeled, or `None`.
        number: of the examples.
        num_classes: labels must be below it; `None` for any.
        modality: what messages call the examples.
    """
    if labels is not None:
        _check_labels(to_numpy(labels), number, num_classes, modality)


def as_array(values: Any, what: str = "images") -> np.ndarray:
    """Returns an array of an array, or of a list or tuple of arrays or numbers.

    Args:
        values: the array or the list.
        what: its entries, for a message.

    Raises:
        ValueError: for entries of several shapes.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        shapes = sorted({np.shape(value) for value in values})
        raise ValueError(
            f"A list of {what} must hold {what} of one shape; got shapes {', '.join(map(str, shapes[:3]))}"
            f"{', ...' if len(shapes) > 3 else ''}. Resize or pad them, or pass a folder of files to "
            "kerassl.data.load."
        ) from error


def _check_labels(labels: np.ndarray, number: int, num_classes: int | None, modality: str) -> None:
    if labels.ndim != 1:
        raise ValueError(
            f"Labels must have shape (number,); got shape {labels.shape}. "
            "Use labels[:, 0] for a column or labels.argmax(-1) for one-hot labels."
        )
    if len(labels) != number:
        raise ValueError(
            f"There are {number} {modality} but {len(labels)} labels. Give one label for each, -1 where it "
            "is unknown."
        )
    if labels.dtype.kind not in "ui":
        numbers = labels.dtype.kind in "fb"
        convert = "labels.astype('int32')" if numbers else "np.unique(labels, return_inverse=True)[1]"
        missing = sum(label is None for label in labels) if labels.dtype == object else 0
        got = f"{missing} labels that are None" if missing else f"dtype {labels.dtype}"
        raise ValueError(
            f"Labels must be integers (class indices, -1 for unlabeled); got {got}. "
            + ("Use -1 in their place." if missing else f"Convert them with {convert}.")
        )
    if not len(labels):
        return
    low, high = int(labels.min()), int(labels.max())
    if low < -1:
        raise ValueError(f"Labels must be at least -1 (unlabeled); got {low}. Set unlabeled entries to -1.")
    if high > MAX_LABEL:
        raise ValueError(
            f"Labels must be class indices below {MAX_LABEL + 1:,}; got {high:,}, which looks like an "
            "identifier. Number the classes with np.unique(labels, return_inverse=True)[1]."
        )
    if num_classes is not None and high >= num_classes:
        raise ValueError(
            f"Labels must be in [-1, {num_classes}) for num_classes={num_classes}; got {high}. "
            f"Pass num_classes={high + 1} or correct the labels."
        )
