"""Every image of a data set once, with its label."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from kerassl.batch import unpack_batch
from kerassl.data.image.image_dataset import ImageDataset
from kerassl.data.inspect import is_array


def labeled_batches(
    data: object, labels: np.ndarray | None = None, batch_size: int = 256
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of raw images and their int64 labels, of one pass over a data set.

    Args:
        data: an array of images; an `ImageDataset`, read in the order of its images; or anything that can be
            passed over again and yields `(images, labels)`.
        labels: labels of an array.
        batch_size: images at a time of an array or an `ImageDataset`.

    Raises:
        ValueError: for data without labels, or that can be read only once.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import ImageDataset, labeled_batches
        >>> data = ImageDataset(np.zeros((3, 8, 8, 1), "uint8"), [4, 5, 6], shuffle=True)
        >>> [labels.tolist() for _, labels in labeled_batches(data, batch_size=2)]
        [[4, 5], [6]]
    """
    needed = "Labels are needed: pass (images, labels) or a labeled kerassl.data.ImageDataset."
    if isinstance(data, ImageDataset):
        data, labels = data.images, data.labels
    if is_array(data):
        if labels is None:
            raise ValueError(needed)
        for start in range(0, len(data), batch_size):
            part = slice(start, start + batch_size)
            yield ops.convert_to_numpy(data[part]), ops.convert_to_numpy(labels[part]).astype("int64")
        return
    if hasattr(data, "__next__"):
        raise ValueError("The data can be read only once, and another pass is needed.")
    if isinstance(data, keras.utils.PyDataset):
        data = map(data.__getitem__, range(len(data)))
    for batch in data:
        images, labels, *_ = unpack_batch(batch)
        if labels is None:
            raise ValueError(needed)
        if isinstance(images, (tuple, list)):
            raise ValueError("Raw images are needed, but the batches hold views.")
        yield ops.convert_to_numpy(images), ops.convert_to_numpy(labels).reshape(-1).astype("int64")
