"""What comes between the data that `fit` and `evaluate` are given and Keras' own loops.

The views know what their inputs must be: data in any container are checked in the words of their modality.
"""

import functools
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.batch import Batch, unpack_batch
from kerassl.data import ArrayDataset, ImageDataset, checked_batches, holds_arrays, is_array, num_batches
from kerassl.data.checked_batches import check_batch
from kerassl.data.lazy_images import LazyImages
from kerassl.data.validation import as_array, validate_labels
from kerassl.training.encoder_checks import check_channels
from kerassl.views import InputFormat


def inputs_and_labels(model: keras.Model, x: Any, y: Any) -> tuple[Any, Any]:
    """Inputs and labels apart, as arrays where they came as lists.

    `((inputs, labels),)` and `(inputs, labels)` are taken apart, too, where no labels come beside them: Keras
    would take both for inputs.

    Args:
        model: the `SSLModel`, which knows whether ready views are expected.
        x: as in `SSLModel.fit`.
        y: labels or `None`.
    """
    if isinstance(x, tuple) and y is None:
        if len(x) == 1 and (model.views is not None or isinstance(x[0], (tuple, list, dict))):
            (x,) = x
        if isinstance(x, tuple) and len(x) == 2 and _are_labels(x[1]):
            x, y = x
    if model.views is not None and isinstance(x, list):
        x = as_array(x, model.modality.modality)
    if y is not None and not ops.is_tensor(y):
        y = as_array(y, "labels")
    return x, y


def checked(model: keras.Model, x: Any, y: Any, batch_size: int | None = None, note: bool = False) -> Any:
    """Data that are checked already, or are once they are read, and otherwise the same.

    Arrays are checked whole, the first batch of a `PyDataset` or a `tf.data.Dataset` at once, and that of
    anything else when it comes.

    Args:
        model: the `SSLModel`, whose views know what inputs must be.
        x: as in `SSLModel.fit`.
        y: labels where `x` is an array.
        batch_size: examples a batch where `x` is an array.
        note: whether the model remembers what its inputs are like.

    Raises:
        ValueError: for an empty data set, inputs that the modality's `check` refuses, labels out of range, or
            a batch of one, of which neither a batch statistic nor a contrast can be taken.
    """
    resize = x.resize if isinstance(x, ImageDataset) else None

    def check(inputs: Any, labels: Any, size: int | None = None) -> None:
        batch = unpack_batch((inputs, labels))
        _check_batch(model, batch, size)
        if note:
            _note(model, batch.inputs, resize)

    if is_array(x) or holds_arrays(x):
        size = batch_size or 32
        # Files are not read before their turn.
        rows = slice(size) if isinstance(x, LazyImages) else slice(None)
        check(x[rows] if is_array(x) else x, None if y is None else y[rows], size)
        return x
    if isinstance(x, ArrayDataset) and not isinstance(x, ImageDataset):
        check(x.inputs, x.labels, x.batch_size)
        return x
    if num_batches(x) == 0:
        noun = model.modality.modality
        raise ValueError(f"The data set is empty: it has 0 batches. At least two {noun} are needed.")
    if isinstance(x, keras.utils.PyDataset):
        check_batch(check, x[0])
        return x
    return checked_batches(
        x, functools.partial(_check_with_hint, model, check) if hasattr(x, "batch") else check
    )


def checked_validation(model: keras.Model, data: Any) -> Any:
    """The argument `validation_data` of `fit`, checked as `checked` does.

    Args:
        model: the `SSLModel`.
        data: `inputs`, `(inputs, labels)` or any data set; or `None`.
    """
    if data is None:
        return None
    if isinstance(data, tuple) and 1 < len(data) < 4 and model.views is not None:
        refuse_weights(model, *data[2:])
        x, y = inputs_and_labels(model, *data[:2])
        return (checked(model, x, y), y, *data[2:])
    return checked(model, data, None) if not isinstance(data, tuple) else data


def refuse_weights(model: keras.Model, *weights: Any) -> None:
    """Raises `ValueError` for weights of examples or classes, unless the method's loss has them.

    Args:
        model: the `SSLModel`.
        *weights: `sample_weight` and `class_weight`, or the third entry of a batch; `None` where there are
            none.
    """
    if any(each is not None for each in weights) and not model.supports_sample_weight:
        raise ValueError(
            f"{type(model).__name__} has no loss of each example that a weight could multiply: leave out "
            "sample_weight and class_weight, and the third entry of (inputs, labels, weights). "
            "kerassl.classifiers.Classifier takes weights."
        )


def has_labels(x: Any, y: Any = None) -> bool:
    """Whether data of `fit` has labels; data that must be read to know it counts as labeled.

    Args:
        x: inputs, a data set, or validation data as `(inputs,)` or `(inputs, labels)`.
        y: labels beside `x`.
    """
    if isinstance(x, tuple) and 0 < len(x) < 4 and y is None:
        return len(x) > 1 and x[1] is not None
    if is_array(x) or holds_arrays(x):
        return y is not None
    return getattr(x, "labels", True) is not None


def _are_labels(values: Any) -> bool:
    """Whether values are one integer for each example."""
    if isinstance(values, list):
        return all(isinstance(value, (int, np.integer)) for value in values)
    if not is_array(values):
        return False
    return len(values.shape) == 1 and keras.backend.is_int_dtype(
        keras.backend.standardize_dtype(values.dtype)
    )


def _check_batch(model: keras.Model, batch: Batch, size: int | None) -> None:
    noun = model.modality.modality
    if model.views is None:
        _check_views(batch.inputs, batch.labels)
    elif (
        batch.labels is not None
        and is_array(batch.inputs)
        and len(batch.inputs.shape) > 2
        and len(np.shape(batch.labels)) == len(batch.inputs.shape)
    ):
        raise ValueError(
            f"A batch is ({noun}, {noun}): Keras would take the second view for labels. Give ready views as "
            "((view1, view2), labels) or ((view1, view2),), and make the model with views=None."
        )
    model.modality.check(batch.inputs, batch.labels)
    check_channels(model, batch.inputs)
    number = keras.tree.flatten(batch.inputs)[0].shape[0]
    validate_labels(batch.labels, number, model.num_classes)
    if batch.indices is not None and tuple(batch.indices.shape) != (number,):
        raise ValueError(
            f"sample_index must have shape ({number},), one for each example; got shape "
            f"{tuple(batch.indices.shape)}."
        )
    if min(number, size or number) == 1:
        raise ValueError(f"A batch holds one of the {noun}; at least two are needed. Raise batch_size.")


def _check_with_hint(model: keras.Model, check: Any, inputs: Any, labels: Any) -> None:
    """Checks a batch of a data set that may have been left without batches."""
    try:
        check(inputs, labels)
    except ValueError as error:
        rank = len(keras.tree.flatten(inputs)[0].shape)
        if rank + 1 == len(model.encoder.inputs[0].shape) or labels is not None and not np.shape(labels):
            raise ValueError(
                f"The data set gives single {model.modality.modality}, not batches: call its "
                f".batch(batch_size). {error}"
            ) from error
        raise


def _check_views(views: Any, labels: KerasTensor | None) -> None:
    if isinstance(views, (tuple, list)):
        return
    hint = ""
    if labels is not None and len(labels.shape) > 1:
        hint = " A bare pair (view1, view2) is read as inputs and labels."
    got = f"an array of shape {tuple(views.shape)}" if is_array(views) else f"a {type(views).__name__}"
    raise ValueError(
        "views=None means that the data holds the views, as ((view1, view2, ...), labels) or "
        f"((view1, view2, ...),); a batch's first entry is {got}.{hint}"
    )


def _note(model: keras.Model, inputs: Any, resize: str | None) -> None:
    """Notes what images are like with what is exported, for evaluations to compare with."""
    layer = model.image_preprocess
    if layer is not None:
        layer.trained_on = InputFormat.of(inputs, resize, layer.value_range)
