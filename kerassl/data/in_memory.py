"""Arrays given to `fit`, in an order that a resumed run repeats."""

import copy
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.batch import SAMPLE_INDEX
from kerassl.data.array_dataset import ArrayDataset, to_arrays


def with_indices(x: object) -> object:
    """The data with each example's index, where it is an `ArrayDataset`; other data must bring their own."""
    if not isinstance(x, ArrayDataset) or isinstance(x.inputs, dict) and SAMPLE_INDEX in x.inputs:
        return x
    x = copy.copy(x)
    x.with_indices = True
    return x


def as_dataset(
    inputs: Any,
    labels: np.ndarray | KerasTensor | None,
    batch_size: int,
    seed: int,
    options: dict,
    kind: type[ArrayDataset] = ArrayDataset,
) -> tuple[ArrayDataset, dict]:
    """Inputs that were checked, as an `ArrayDataset`, and what is left of the other arguments of `fit`.

    Args:
        inputs: an array, or a tuple or dict of arrays, of n examples.
        labels: `(n,)`, or `None`.
        batch_size: images per batch.
        seed: keys the order, unless `shuffle=False` is among the options.
        options: further arguments of `keras.Model.fit`; `shuffle` and `validation_split` are used up.
        kind: the class of the data set, such as `ImageDataset`.

    Example:
        >>> import numpy as np
        >>> from kerassl.data.in_memory import as_dataset
        >>> images, options = np.zeros((8, 4, 4, 1), "uint8"), {"validation_split": 0.25}
        >>> data, options = as_dataset(images, None, 2, 0, options)
        >>> len(data), options["validation_data"][0].shape
        (3, (2, 4, 4, 1))
    """
    options = dict(options)
    inputs = keras.tree.map_structure(
        lambda array: array.astype("float32") if array.dtype == np.float64 else array, to_arrays(inputs)
    )
    labels = None if labels is None else ops.convert_to_numpy(labels)
    split = options.pop("validation_split", None)
    if split and options.get("validation_data") is None:
        first = int(len(keras.tree.flatten(inputs)[0]) * (1 - split))
        held_out = keras.tree.map_structure(lambda array: array[first:], inputs)
        options["validation_data"] = (held_out, None if labels is None else labels[first:])
        inputs = keras.tree.map_structure(lambda array: array[:first], inputs)
        labels = None if labels is None else labels[:first]
    shuffle = bool(options.pop("shuffle", True))
    return kind(inputs, labels, batch_size=batch_size, shuffle=shuffle, seed=seed), options
