"""What data are made of, as far as it can be known without reading them."""

from typing import Any

import keras


def num_batches(x: Any, batch_size: int = 32) -> int | None:
    """Number of batches of one pass over anything that `fit` takes, or `None` if it does not say.

    Args:
        x: array, tuple of arrays, `keras.utils.PyDataset`, `tf.data.Dataset`, Grain dataset, torch
            `DataLoader` or iterator.
        batch_size: images a batch where `x` is an array.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import num_batches
        >>> num_batches(np.zeros((10, 8, 8, 1)), batch_size=4)
        3
    """
    if is_array(x):
        return -(-x.shape[0] // batch_size)
    if holds_arrays(x):
        return num_batches(keras.tree.flatten(x)[0], batch_size)
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches
    if hasattr(x, "cardinality"):
        count = int(x.cardinality())
        return count if count >= 0 else None
    try:
        return len(x)
    except TypeError:
        return None


def holds_arrays(x: object) -> bool:
    """Whether `x` is a tuple, list or dict of arrays or tensors, nested as it may be."""
    if not isinstance(x, (tuple, list, dict)):
        return False
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(map(is_array, leaves))


def is_array(x: object) -> bool:
    """Whether `x` is one array or tensor."""
    return hasattr(x, "shape") and hasattr(x, "dtype") and not hasattr(x, "__next__")
