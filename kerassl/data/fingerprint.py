"""Fingerprints that distinguish the data of a run from other data."""

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerassl.data.array_dataset import ArrayDataset
from kerassl.data.lazy_images import LazyImages
from kerassl.data.within_epoch import FixedLengthEpochs, OrderedBatches
from kerassl.views.base import named_arrays

# Entries that are looked at: of arrays in memory, and of those in files.
_SAMPLE, _LAZY_SAMPLE = 64, 8


def fingerprint(data: object, steps_per_epoch: int | None) -> dict:
    """A data set's fingerprint: kind, counts, shapes, labels, and a fixed sample of the inputs.

    Of other `PyDataset`s and of a `tf.data.Dataset` it is what a batch is like; of data that can be read only
    once, the kind.

    Args:
        data: the training data of `fit`.
        steps_per_epoch: batches per epoch, or `None` if unknown.

    Returns:
        Facts by name, as JSON keeps them.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import ImageDataset, fingerprint
        >>> facts = fingerprint(ImageDataset(np.zeros((6, 8, 8, 1), "uint8"), batch_size=2), 3)
        >>> facts["num_examples"], facts["shape"], facts["steps_per_epoch"]
        (6, [8, 8, 1], 3)
    """
    while isinstance(data, (FixedLengthEpochs, OrderedBatches)):
        data = data.dataset
    facts: dict = {"kind": type(data).__name__, "steps_per_epoch": steps_per_epoch}
    if isinstance(data, ArrayDataset):
        own_order = type(data).draw_order is not ArrayDataset.draw_order
        facts |= {
            "kind": "arrays",
            "num_examples": data.num_examples,
            "shape": _of_each(lambda array: list(array.shape[1:]), data.inputs),
            "dtype": _of_each(lambda array: str(array.dtype), data.inputs),
            "contents": _of_each(_digest_of_sample, data.inputs),
            "batch_size": data.batch_size,
            "order": [type(data).__name__ if own_order else "shuffled", f"seed {data.seed}"]
            if data.shuffle
            else "as given",
            "labels": data.labels is not None and _digest(data.labels),
        }
    elif isinstance(data, keras.utils.PyDataset):
        facts["kind"] = "PyDataset"
        facts["batch"] = [[str(a.dtype), *a.shape[1:]] for a in keras.tree.flatten(data[0]) if a is not None]
    elif hasattr(data, "element_spec"):
        facts |= {"kind": "tf.data", "element_spec": str(data.element_spec)}
    return json.loads(json.dumps(facts))


def _of_each(fact: Callable, inputs: Any) -> Any:
    """A fact of the only array, or of each by its name."""
    facts = {name: fact(array) for name, array in named_arrays(inputs).items()}
    return facts[""] if set(facts) == {""} else facts


def _digest_of_sample(array: np.ndarray | LazyImages) -> str:
    """Of a fixed sample of the entries and, where they are files, of all their names."""
    names = ["/".join(pathlib.Path(path).parts[-2:]) for path in getattr(array, "paths", ())]
    count = min(len(array), _LAZY_SAMPLE if isinstance(array, LazyImages) else _SAMPLE)
    sample = array[np.linspace(0, len(array) - 1, count).astype(int)]
    return _digest(sample, json.dumps(names).encode())


def _digest(array: np.ndarray, more: bytes = b"") -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes() + more).hexdigest()[:16]
