"""Frozen features of a data set, in its own order."""

import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kerassl.data import ImageDataset, LazyImages
from kerassl.evaluation.preparation import warn_of_preparation


def embed(model: keras.Model, data: Any, batch_size: int = 256) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the features of every image in eval mode: no view, no weight or statistic moves.

    An `ImageDataset` is read in the order of its `images`, whatever its shuffling and epoch. Other data
    sets are read once, so that features and labels stay in step, and a batch is read while the one before it
    is computed. A warning says, once for an encoder, if images are not as those of training were, and what
    that makes; see `preparation_gap`.

    Args:
        model: an `SSLModel` or any `keras.Model` from images to `(batch, dim)`; a feature map
            `(batch, height, width, dim)` is average-pooled.
        data: `(number, height, width, channels)` images, a pair of images and labels, an `ImageDataset`,
            or any iterable of batches `(images, labels)`, `(images,)` or images, such as a `tf.data.Dataset`.
        batch_size: images at a time; an iterable keeps its own batches.

    Returns:
        `(number, dim)` float32 features and `(number,)` int labels, or None where there are no labels.

    Raises:
        ValueError: no images, or a model that gives something else than features.

    Example:
        >>> import keras, numpy as np
        >>> from kerassl.evaluation import embed
        >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
        >>> features, labels = embed(encoder, np.ones((3, 8, 8, 1), "uint8"))
        >>> features.shape, labels
        ((3, 64), None)
    """
    if isinstance(data, ImageDataset):
        data = (data.images, data.labels)
        if isinstance(data[0], LazyImages):
            data = _pieces(*data, batch_size)
    arrays = data if isinstance(data, (tuple, list)) else (data,)
    if arrays and hasattr(arrays[0], "shape"):
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(tuple(arrays))
        images, labels = _to_numpy(images), None if labels is None else _to_numpy(labels)
        if not len(images):
            raise ValueError("There are no images to embed.")
        if labels is not None and labels.shape != images.shape[:1]:
            raise ValueError(
                f"{len(images)} images came with labels of shape {labels.shape}; one each is needed."
            )
        warn_of_preparation(model, images, labels)
        return _pool(model.predict(images, batch_size=batch_size, verbose=0)), labels
    features, labels = [], []
    for batch in one_ahead(data):
        batch_images, batch_labels = _unpack(batch)
        if not features:
            warn_of_preparation(model, batch_images, batch_labels)
        features.append(_pool(model.predict_on_batch(batch_images)))
        if batch_labels is not None:
            labels.append(batch_labels)
    if not features:
        raise ValueError("There are no images to embed: the data set gave no batch.")
    return np.concatenate(features), np.concatenate(labels) if labels else None


def one_ahead(items: Iterable) -> Iterator:
    """The items of an iterable in their order, each read by a second thread while the one before it is used.

    Example:
        >>> from kerassl.evaluation.embed import one_ahead
        >>> list(one_ahead(range(3)))
        [0, 1, 2]
    """
    iterator, end = iter(items), object()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, iterator, end)
        while (item := following.result()) is not end:
            following = pool.submit(next, iterator, end)
            yield item


def _unpack(batch: Any) -> tuple[np.ndarray, np.ndarray | None]:
    images, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if isinstance(images, (tuple, list)):
        raise ValueError(
            f"A batch holds {len(images)} views, but embed needs plain images. "
            "Pass a data set of (images, labels)."
        )
    return _to_numpy(images), None if labels is None else _to_numpy(labels).reshape(-1)


def _pieces(images: LazyImages, labels: np.ndarray | None, batch_size: int) -> Iterator[tuple]:
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield (images[part],) if labels is None else (images[part], labels[part])


def _to_numpy(array: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(array) if keras.ops.is_tensor(array) else np.asarray(array)


def _pool(features: Any) -> np.ndarray:
    if not isinstance(features, np.ndarray) or features.ndim not in (2, 4):
        came = f"shape {features.shape}" if isinstance(features, np.ndarray) else type(features).__name__
        raise ValueError(
            "The model must give features (batch, dim) or a feature map (batch, height, width, dim), but "
            f"{came} came. Pool or choose among its outputs first."
        )
    features = features.astype("float32")
    return features.mean((1, 2)) if features.ndim == 4 else features
