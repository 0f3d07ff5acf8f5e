"""Every example of a data set once, with its index."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from kerassl.batch import unpack_batch
from kerassl.data.array_dataset import ArrayDataset


def batches_with_indices(
    data: Any, batch_size: int = 256, ready_views: bool = False
) -> Iterator[tuple[Any, np.ndarray]]:
    """Batches of raw inputs and their int32 indices, of one pass over a data set that knows them.

    Args:
        data: an `ArrayDataset`, read in the order of its examples; or batches of `{"inputs",
            "sample_index"}`.
        batch_size: examples at a time of an `ArrayDataset`.
        ready_views: whether inputs are tuples of views, of which the first is taken.

    Raises:
        ValueError: for data without indices, or that can be read only once.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import ImageDataset, batches_with_indices
        >>> data = ImageDataset(np.zeros((5, 8, 8, 1), "uint8"), batch_size=2, shuffle=True)
        >>> [indices.tolist() for _, indices in batches_with_indices(data, batch_size=3)]
        [[0, 1, 2], [3, 4]]
    """
    if isinstance(data, ArrayDataset):
        inputs, _, given, _ = unpack_batch((data.inputs,))
        if ready_views:
            inputs = first_view(inputs)
        for start in range(0, data.num_examples, batch_size):
            rows = slice(start, min(start + batch_size, data.num_examples))
            indices = np.arange(rows.start, rows.stop) if given is None else given[rows]
            part = keras.tree.map_structure(lambda array, rows=rows: array[rows], inputs)
            yield part, np.asarray(indices, "int32")
        return
    if isinstance(data, dict):
        data = [data]
    if hasattr(data, "__next__"):
        raise ValueError("The data can be read once only, but this method passes over it before training.")
    if isinstance(data, keras.utils.PyDataset):
        data = map(data.__getitem__, range(len(data)))
    for batch in data:
        inputs, _, indices, _ = unpack_batch(batch)
        if ready_views:
            inputs = first_view(inputs)
        if indices is None:
            raise ValueError(
                'Batches of {"inputs": inputs, "sample_index": indices} are needed, which say where each '
                "example is in the data set; fit an array or a kerassl.data.ArrayDataset, which know."
            )
        inputs = keras.tree.map_structure(ops.convert_to_numpy, inputs)
        yield inputs, ops.convert_to_numpy(indices).reshape(-1).astype("int32")


def first_view(views: Any) -> Any:
    """The first of several ready views; one alone is itself."""
    return views[0] if isinstance(views, (tuple, list)) else views
