"""Checks of images and labels that say what was got, what is needed and how to mend it."""

import warnings
from typing import Any

import keras
import numpy as np

# A probe of so many classes would not fit into the memory of any device.
MAX_LABEL = 2**24 - 1


def validate_batch(images: Any, labels: Any = None, num_classes: int | None = None) -> None:
    """Raises `ValueError` where images or labels break the library's contract.

    Args:
        images: `(batch, height, width, channels)` array or tensor, uint8 or float in [0, 255].
        labels: `(batch,)` integer array or tensor, -1 for unlabeled, or None.
        num_classes: number of classes; labels must then be in [-1, num_classes).

    Raises:
        ValueError: no images, a rank that is not 4, an axis of length 0, a type that is not a number,
            NaN or infinite pixels, integer pixels outside [0, 255], labels that are not integers, are
            out of range or differ in number from the images.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import validate_batch
        >>> validate_batch(np.zeros((2, 8, 8, 1), "uint8"), np.array([0, -1]), num_classes=10)
    """
    images = _to_numpy(images)
    _check_images(images)
    validate_labels(labels, len(images), num_classes)


def validate_labels(labels: Any, num_images: int, num_classes: int | None = None) -> None:
    """Raises `ValueError` for labels, if there are any, that `validate_batch` refuses."""
    if labels is not None:
        _check_labels(_to_numpy(labels), num_images, num_classes)


def _to_numpy(array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        array = keras.ops.convert_to_numpy(array) if keras.ops.is_tensor(array) else as_array(array)
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


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


def _check_images(images: np.ndarray) -> None:
    if images.ndim != 4:
        raise ValueError(
            f"Images must have shape (number, height, width, channels); got shape {images.shape}. "
            "Add the missing axis, e.g. images[..., None] for gray images or images[None] for one image."
        )
    if 0 in images.shape:
        raise ValueError(
            f"The images are empty: shape {images.shape}. At least one image of one pixel is needed."
        )
    if images.dtype.kind not in "uif":
        raise ValueError(
            f"Images must be uint8 or float in [0, 255]; got dtype {images.dtype}. "
            "Convert them with images.astype('uint8') or images.astype('float32')."
        )
    if images.dtype == np.uint8:
        return
    # The minimum and maximum of an array with a NaN are NaN: no mask of the array's size is needed.
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        broken = np.flatnonzero([not np.isfinite(image).all() for image in images])
        raise ValueError(
            f"{len(broken)} of {len(images)} images hold NaN or infinite pixels; the first is number "
            f"{broken[0]}. Remove or mend them, e.g. with np.nan_to_num."
        )
    if images.dtype.kind != "f":
        if low < 0 or high > 255:
            raise ValueError(
                f"Integer images must be in [0, 255]; got values from {low:g} to {high:g}. "
                "Rescale them to [0, 255]."
            )
    elif low < 0 or 0 < high <= 1:
        warnings.warn(
            f"Float images must be in [0, 255]; got values from {low:g} to {high:g}, which look as if "
            "they were normalized already. Multiply by 255 (and undo a mean shift), or pass uint8 images.",
            stacklevel=3,
        )


def _check_labels(labels: np.ndarray, num_images: int, num_classes: int | None) -> None:
    if labels.ndim != 1:
        raise ValueError(
            f"Labels must have shape (number,); got shape {labels.shape}. "
            "Use labels[:, 0] for a column or labels.argmax(-1) for one-hot labels."
        )
    if len(labels) != num_images:
        raise ValueError(
            f"There are {num_images} images but {len(labels)} labels. One label an image is needed; use -1 "
            "for unlabeled images."
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
