"""Frozen features of a data set, in its own order."""

import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kerassl.data import ImageDataset, LazyImages
from kerassl.evaluation.preprocessing import warn_of_preprocessing
from kerassl.metrics.checks import check_count, short
from kerassl.views import preprocessing_of

_TAKEN = (
    "an array, a dict or tuple of arrays for a model of several inputs, a pair (inputs, labels), a "
    "kerassl.data.ImageDataset, or an iterable of batches"
)


def embed(
    model: keras.Model, data: Any, batch_size: int = 256, verbose: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the features of every example in eval mode: no view, no weight or statistic moves.

    An `ImageDataset` is read in the order of its `images`, regardless of shuffling and epoch. Other data sets
    are read once, so that features and labels stay in step, and a batch is read while the one before it is
    computed. A warning says, once for an encoder, if images differ from those of training, and what that
    makes; see `preprocessing_mismatch`.

    Args:
        model: an `SSLModel` or any `keras.Model` from examples to `(batch, dim)`; what has axes between,
            `(batch, ..., dim)`, is averaged over them.
        data: inputs, a pair of inputs and labels, an `ImageDataset`, or any iterable of batches
            `(inputs, labels)`, `(inputs,)` or inputs, such as a `tf.data.Dataset`. Inputs are one array
            `(number, ...)`, such as images `(number, height, width, channels)`, or a dict or tuple of such
            for a model of several inputs; `{"images": images, "positions": positions}` are images.
        batch_size: examples at a time; an iterable keeps its own batches.
        verbose: 1 for a progress bar.

    Returns:
        `(number, dim)` float32 features and `(number,)` labels as they were, or None where there are none.

    Raises:
        ValueError: no examples, labels that are not one each, data of another kind, or a model that
            gives something else than features.

    Example:
        >>> import keras, numpy as np
        >>> from kerassl.evaluation import embed
        >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
        >>> features, labels = embed(encoder, np.ones((3, 8, 8, 1), "uint8"))
        >>> features.shape, labels
        ((3, 64), None)
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model from examples to features; got {short(model)}.")
    check_count("batch_size", batch_size)
    if isinstance(data, ImageDataset):
        data = (data.images, data.labels)
        if isinstance(data[0], LazyImages):
            data = _pieces(*data, batch_size=batch_size)
    whole = _whole(model, data)
    if whole is not None:
        inputs, labels = _checked(model, *whole)
        warn_of_preprocessing(model, inputs, labels)
        return _pool(model.predict(inputs, batch_size=batch_size, verbose=verbose)), labels
    if not isinstance(data, Iterable) or isinstance(data, (str, bytes)):
        raise ValueError(f"data must be {_TAKEN}; got {short(data)}.")
    features, labels = [], []
    bar = keras.utils.Progbar(None, verbose=verbose, unit_name="batch")
    for batch in one_ahead(data):
        inputs, of_batch = _checked(model, *_unpacked(model, batch))
        if not features:
            warn_of_preprocessing(model, inputs, of_batch)
        features.append(_pool(model.predict_on_batch(inputs)))
        labels.append(of_batch)
        bar.add(1)
    if not features:
        raise ValueError("There is nothing to embed: data gave no batch.")
    without = [part is None for part in labels]
    if any(without) and not all(without):
        raise ValueError("data has labels in some batches and none in others; use -1 for unlabeled.")
    return np.concatenate(features), None if any(without) else np.concatenate(labels)


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


def _whole(model: keras.Model, data: Any) -> tuple[Any, Any] | None:
    """Inputs and labels of data that is in memory, or `None` for an iterable of batches."""
    if _is_array(data) or isinstance(data, dict):
        return data, None
    if not isinstance(data, (tuple, list)) or not data:
        return None
    if isinstance(data, list):
        # A list is one of batches, but for the pair [inputs, labels].
        pair = len(data) == 2 and _is_array(data[0]) and _is_array(data[1])
        if not (pair and len(data[1].shape) == 1 != len(data[0].shape)):
            _refuse_examples(model, data)
            return None
    first = data[0]
    nested = isinstance(first, (tuple, list)) and len(data) <= 2 and _several(model) is not None
    if _is_array(first) or isinstance(first, dict) or (nested and all(map(_is_array, first))):
        return _unpacked(model, tuple(data))
    return None


def _unpacked(model: keras.Model, batch: Any) -> tuple[Any, Any]:
    """Inputs and labels of a batch; a tuple is the inputs themselves where it must be."""
    several = _several(model)
    if isinstance(batch, (tuple, list)) and isinstance(several, (tuple, list)):
        # Labels have one axis; an input of one axis would be a number an example.
        alone = len(batch) == len(several) and all(map(_is_array, batch))
        if alone and (len(batch) != 2 or len(batch[1].shape) != 1):
            return tuple(batch), None
    inputs, labels, _ = keras.utils.unpack_x_y_sample_weight(
        tuple(batch) if isinstance(batch, (tuple, list)) else batch
    )
    return inputs, labels


def _checked(model: keras.Model, inputs: Any, labels: Any) -> tuple[Any, np.ndarray | None]:
    """Inputs as arrays, and labels as one integer for each example."""
    if isinstance(inputs, dict) and "images" in inputs and set(inputs) <= {"images", "positions"}:
        inputs = inputs["images"]
    if isinstance(inputs, (tuple, list)) and _several(model) is None:
        raise ValueError(
            f"A batch of data holds {len(inputs)} views or inputs, but {model.name} takes one. Pass plain "
            "(inputs, labels)."
        )
    inputs = keras.tree.map_structure(_to_numpy, inputs)
    parts = keras.tree.flatten(inputs)
    for part in parts:
        if part.ndim == 0 or part.dtype.kind not in "uifb":
            raise ValueError(f"data must be {_TAKEN}; got inputs of type {part.dtype}, shape {part.shape}.")
    lengths = {len(part) for part in parts}
    if len(lengths) != 1:
        raise ValueError(f"The inputs in data must have one length; got {[len(part) for part in parts]}.")
    (length,) = lengths
    if not length:
        raise ValueError("There is nothing to embed: data holds no examples.")
    rank = _rank(model)
    if len(parts) == 1 and rank is not None and parts[0].ndim != rank:
        raise ValueError(
            f"data must hold inputs of {rank} axes, examples first, as {model.name} takes them; got shape "
            f"{parts[0].shape}. Add the missing axis: x[None] for one example, x[..., None] for gray images."
        )
    if labels is None:
        return inputs, None
    labels = _to_numpy(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    # Of any type: they come back as they are, and a protocol says if it needs others.
    if labels.shape != (length,):
        raise ValueError(
            f"labels must have shape ({length},), one for each example; got shape {labels.shape}. Use "
            "labels.argmax(-1) for one-hot labels."
        )
    return inputs, labels


def _refuse_examples(model: keras.Model, data: list) -> None:
    rank = _rank(model)
    if rank is not None and all(_is_array(one) and len(one.shape) == rank - 1 for one in data):
        raise ValueError(
            f"data is a list of {len(data)} examples, each without an axis for the batch; pass "
            "np.stack(data)."
        )


def _several(model: keras.Model) -> Any:
    """The inputs of a functional model of several, nested as it takes them; `None` of others."""
    encoder = getattr(model, "embedding_encoder", model)
    return encoder.input if len(getattr(encoder, "inputs", None) or ()) > 1 else None


def _rank(model: keras.Model) -> int | None:
    """Axes of a model's input, if it is one array of known shape."""
    if preprocessing_of(model) is not None:
        return 4
    inputs = getattr(model, "inputs", None)
    return len(inputs[0].shape) if inputs and len(inputs) == 1 else None


def _pieces(images: LazyImages, labels: np.ndarray | None, batch_size: int) -> Iterator[tuple]:
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield (images[part],) if labels is None else (images[part], labels[part])


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _to_numpy(array: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(array) if keras.ops.is_tensor(array) else np.asarray(array)


def _pool(features: Any) -> np.ndarray:
    if not isinstance(features, np.ndarray) or features.ndim < 2:
        got = getattr(features, "shape", None) or f"a {type(features).__name__}"
        raise ValueError(
            f"model must give features (batch, dim) or (batch, ..., dim); got {got}. Choose among its "
            "outputs first."
        )
    features = features.astype("float32")
    return features.mean(tuple(range(1, features.ndim - 1))) if features.ndim > 2 else features
