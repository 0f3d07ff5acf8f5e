"""Arrays given to `fit`, in an order that a resumed run repeats."""

import copy
import warnings

import numpy as np
from keras import KerasTensor, ops

from kerassl.data.image_dataset import ImageDataset
from kerassl.data.inspect import is_array, num_batches


def can_be_dataset(x: object, length: int | None, batch_size: int, options: dict) -> bool:
    """Whether an `ImageDataset` can take the place of `x` in `fit`.

    Args:
        x: what `fit` was given.
        length: batches per epoch.
        batch_size: images per batch.
        options: further arguments of `keras.Model.fit`.
    """
    weighted = any(options.get(name) is not None for name in ("sample_weight", "class_weight"))
    return is_array(x) and not weighted and length == num_batches(x, batch_size)


def with_positions(x: object) -> object:
    """The data with each image's position, where it is an `ImageDataset`; other data must bring their own."""
    if not isinstance(x, ImageDataset):
        return x
    x = copy.copy(x)
    x.with_positions = True
    return x


def as_dataset(
    images: np.ndarray | KerasTensor,
    labels: np.ndarray | KerasTensor | None,
    batch_size: int,
    seed: int,
    options: dict,
) -> tuple[ImageDataset, dict]:
    """Images that were checked, as an `ImageDataset`, and what is left of the other arguments of `fit`.

    Args:
        images: `(n, height, width, channels)`.
        labels: `(n,)`, or `None`.
        batch_size: images per batch.
        seed: keys the order, unless `shuffle=False` is among the options.
        options: further arguments of `keras.Model.fit`; `shuffle` and `validation_split` are used up.

    Example:
        >>> import numpy as np
        >>> from kerassl.data.in_memory import as_dataset
        >>> images, options = np.zeros((8, 4, 4, 1), "uint8"), {"validation_split": 0.25}
        >>> data, options = as_dataset(images, None, 2, 0, options)
        >>> len(data), options["validation_data"][0].shape
        (3, (2, 4, 4, 1))
    """
    options = dict(options)
    images = ops.convert_to_numpy(images)
    images = images.astype("float32") if images.dtype == np.float64 else images
    labels = None if labels is None else ops.convert_to_numpy(labels)
    split = options.pop("validation_split", None)
    if split and options.get("validation_data") is None:
        first = int(len(images) * (1 - split))
        options["validation_data"] = (images[first:], None if labels is None else labels[first:])
        images, labels = images[:first], None if labels is None else labels[:first]
    shuffle = bool(options.pop("shuffle", True))
    with warnings.catch_warnings():
        # Those who checked the images have warned already.
        warnings.simplefilter("ignore")
        return ImageDataset(images, labels, batch_size=batch_size, shuffle=shuffle, seed=seed), options
