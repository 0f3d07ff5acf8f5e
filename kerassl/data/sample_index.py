"""Every example of a data set once, with its index."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from kerassl.batch import unpack_batch
from kerassl.data.array_dataset import ArrayDataset


def batches_with_indices(data: object, batch_size: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of raw inputs and their int32 indices, of one pass over a data set that knows them.

    Args:
        data: an `ArrayDataset`, read in the order of its examples; or batches of `{"inputs",
            "sample_index"}`, of whose ready views the first is taken.
        batch_size: examples at a time of an `ArrayDataset`.

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
        count = data.num_examples
        for start in range(0, count, batch_size):
            rows = slice(start, min(start + batch_size, count))
            indices = np.arange(rows.start, rows.stop, dtype="int32")
            yield keras.tree.map_structure(lambda array, rows=rows: array[rows], data.inputs), indices
        return
    if isinstance(data, dict):
        data = [data]
    if hasattr(data, "__next__"):
        raise ValueError("The data can be read once only, but this method passes over it before training.")
    if isinstance(data, keras.utils.PyDataset):
        data = map(data.__getitem__, range(len(data)))
    for batch in data:
        inputs, _, indices, _ = unpack_batch(batch)
        if isinstance(inputs, (tuple, list)):
            inputs = inputs[0]
        if indices is None:
            raise ValueError(
                'Batches of {"inputs": inputs, "sample_index": indices} are needed, which say where each '
                "example is in the data set; fit an array or a kerassl.data.ArrayDataset, which know."
            )
        yield ops.convert_to_numpy(inputs), ops.convert_to_numpy(indices).reshape(-1).astype("int32")
