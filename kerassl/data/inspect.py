"""What can be known of a dataset before training: its length and its first batch."""

import keras
from keras import KerasTensor

from kerassl.batch import unpack_batch
from kerassl.data.validation import validate_batch


def num_batches(x: object, batch_size: int = 32) -> int | None:
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


def check_data(
    x: object,
    y: object = None,
    batch_size: int | None = None,
    num_classes: int | None = None,
    views: bool = False,
) -> KerasTensor | None:
    """Raises `ValueError` for data that cannot be trained on.

    Arrays are checked whole. Of a dataset that can be asked for a batch without being used up, the
    first batch is checked; a generator or a `DataLoader` is taken as it is.

    Args:
        x: as in `SSLModel.fit`.
        y: labels where `x` is an array.
        batch_size: images a batch where `x` is an array.
        num_classes: labels must be below it; `None` for any.
        views: whether `x` holds ready views, `((view1, view2, ...), labels)`.

    Returns:
        The images (first views) that were looked at, or `None`.

    Raises:
        ValueError: for an empty dataset, a wrong rank, NaN pixels, labels out of range, or a batch of
            one, which no batch statistic and no contrast can be taken of.
    """
    if isinstance(x, dict) and not views:
        raise ValueError(
            "Arrays are given by themselves, not in a dict: the index of an example is its place in the "
            "array. "
            'Data with other indices is a dataset of batches {"inputs": inputs, "sample_index": indices}.'
        )
    if is_array(x) or views and holds_arrays(x):
        batch, size = (x, y), batch_size or 32
    elif isinstance(x, keras.utils.PyDataset):
        if not len(x):
            raise ValueError("The dataset is empty: it has 0 batches. At least one image is needed.")
        batch, size = x[0], None
    elif hasattr(x, "take") and hasattr(x, "element_spec"):
        batch, size = next(iter(x.take(1)), None), None
        if batch is None:
            raise ValueError("The dataset is empty: it has 0 batches. At least one image is needed.")
    elif num_batches(x) == 0:
        raise ValueError("The dataset is empty: it has 0 batches. At least one image is needed.")
    else:
        return None
    images, labels, indices, _ = unpack_batch(batch)
    if indices is not None and not isinstance(images, (tuple, list, dict)):
        if tuple(indices.shape) != (images.shape[0],):
            raise ValueError(
                f"sample_index must have shape ({images.shape[0]},), one for each example; got shape "
                f"{tuple(indices.shape)}."
            )
    if views:
        check_views(images, labels)
        first = images[0]
    else:
        if isinstance(images, (tuple, list)):
            raise ValueError(
                f"A batch holds a tuple of {len(images)} arrays where images are needed. For data that holds "
                "views already, make the model with views=None."
            )
        if labels is not None and len(labels.shape) == 4:
            raise ValueError(
                "A batch is (images, images): Keras would take the second view for labels. Give ready views "
                "as ((view1, view2), labels) or ((view1, view2),), and make the model with views=None."
            )
        validate_batch(images, labels, num_classes)
        first = images
    if min(first.shape[0], size or first.shape[0]) == 1:
        raise ValueError("The batches hold one image; at least two are needed. Raise batch_size.")
    return first


def check_views(views: tuple | None, labels: KerasTensor | None) -> None:
    """Raises `ValueError` unless a batch holds a tuple of views."""
    if not isinstance(views, (tuple, list)):
        hint = ""
        if labels is not None and len(labels.shape) > 1:
            hint = " A bare pair (view1, view2) is read as images and labels."
        raise ValueError(
            "views=None means that the data holds the views, as ((view1, view2, ...), labels) or "
            f"((view1, view2, ...),); a batch's first entry is an array of shape {tuple(views.shape)}.{hint}"
        )


def holds_arrays(x: object) -> bool:
    """Whether `x` is a tuple, list or dict of arrays or tensors, nested as it may be."""
    if not isinstance(x, (tuple, list, dict)):
        return False
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(map(is_array, leaves))


def is_array(x: object) -> bool:
    """Whether `x` is one array or tensor."""
    return hasattr(x, "shape") and hasattr(x, "dtype") and not hasattr(x, "__next__")
