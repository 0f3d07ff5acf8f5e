"""Checks of images and labels that say what came, what is needed and how to mend it."""

import warnings
from typing import Any

import keras
import numpy as np


def validate_batch(images: Any, labels: Any = None, num_classes: int | None = None) -> None:
    """Raises `ValueError` where images or labels break the library's contract.

    Args:
        images: `(batch, height, width, channels)` array or tensor, uint8 or float in [0, 255].
        labels: `(batch,)` integer array or tensor, -1 for unlabelled, or None.
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
        array = keras.ops.convert_to_numpy(array) if keras.ops.is_tensor(array) else np.asarray(array)
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _check_images(images: np.ndarray) -> None:
    if images.ndim != 4:
        raise ValueError(
            f"Images must have shape (number, height, width, channels), but shape {images.shape} came. "
            "Add the missing axis, e.g. images[..., None] for grey images or images[None] for one image."
        )
    if 0 in images.shape:
        raise ValueError(
            f"The images are empty: shape {images.shape}. At least one image of one pixel is needed."
        )
    if images.dtype.kind not in "uif":
        raise ValueError(
            f"Images must be uint8 or float in [0, 255], but dtype {images.dtype} came. "
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
                f"Integer images must be in [0, 255], but values from {low:g} to {high:g} came. "
                "Rescale them to [0, 255]."
            )
    elif low < 0 or 0 < high <= 1:
        warnings.warn(
            f"Float images must be in [0, 255], but values from {low:g} to {high:g} came, which looks as if "
            "they were normalised already. Multiply by 255 (and undo a mean shift), or pass uint8 images.",
            stacklevel=3,
        )


def _check_labels(labels: np.ndarray, num_images: int, num_classes: int | None) -> None:
    if labels.ndim != 1:
        raise ValueError(
            f"Labels must have shape (number,), but shape {labels.shape} came. "
            "Use labels[:, 0] for a column or labels.argmax(-1) for one-hot labels."
        )
    if len(labels) != num_images:
        raise ValueError(
            f"There are {num_images} images but {len(labels)} labels. One label an image is needed; use -1 "
            "for unlabelled images."
        )
    if labels.dtype.kind not in "ui":
        numbers = labels.dtype.kind in "fb"
        convert = "labels.astype('int32')" if numbers else "np.unique(labels, return_inverse=True)[1]"
        raise ValueError(
            f"Labels must be integers (class indices, -1 for unlabelled), but dtype {labels.dtype} came. "
            f"Convert them with {convert}."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < -1:
        raise ValueError(
            f"Labels must be at least -1 (unlabelled), but {low} came. Set unlabelled entries to -1."
        )
    if num_classes is not None and high >= num_classes:
        raise ValueError(
            f"Labels must be in [-1, {num_classes}) for num_classes={num_classes}, but {high} came. "
            f"Pass num_classes={high + 1} or correct the labels."
        )
