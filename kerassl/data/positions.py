"""Every image of a data set once, with its position."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from kerassl.data.image.image_dataset import ImageDataset
from kerassl.data.inspect import split_positions


def batches_with_positions(data: object, batch_size: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of images and their int32 positions, of one pass over a data set that knows them.

    Args:
        data: an `ImageDataset`, read in the order of its images; or batches of `{"images", "positions"}`, or
            of ready views whose last entry is the positions, of which the first view is taken.
        batch_size: images at a time of an `ImageDataset` and of arrays.

    Raises:
        ValueError: for data without positions, or that can be read only once.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import ImageDataset, batches_with_positions
        >>> data = ImageDataset(np.zeros((5, 8, 8, 1), "uint8"), batch_size=2, shuffle=True)
        >>> [positions.tolist() for _, positions in batches_with_positions(data, batch_size=3)]
        [[0, 1, 2], [3, 4]]
    """
    if isinstance(data, ImageDataset):
        data = (data.images, np.arange(data.num_examples, dtype="int32"))
    if isinstance(data, (tuple, list)) and hasattr(data[0], "shape"):
        images, positions = data[0], data[-1]
        for start in range(0, len(images), batch_size):
            yield images[start : start + batch_size], positions[start : start + batch_size]
        return
    if hasattr(data, "__next__"):
        raise ValueError("The data can be read once only, but this method passes over it before training.")
    if isinstance(data, keras.utils.PyDataset):
        data = map(data.__getitem__, range(len(data)))
    for batch in data:
        images, positions = split_positions(keras.utils.unpack_x_y_sample_weight(batch)[0])
        if isinstance(images, (tuple, list)):
            images, positions = images[0], images[-1]
        if positions is None:
            raise ValueError(
                'Batches of {"images": images, "positions": positions} are needed, which say where each '
                "image is in the data set; fit an array or a kerassl.data.ImageDataset, which know."
            )
        yield ops.convert_to_numpy(images), ops.convert_to_numpy(positions).reshape(-1).astype("int32")
