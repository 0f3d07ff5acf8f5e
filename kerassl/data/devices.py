"""Batches that cut evenly among devices and processes."""

import copy
from typing import Any

import keras

from kerassl.data.array_dataset import ArrayDataset
from kerassl.data.inspect import holds_arrays, is_array


def check_divides(batch_size: int, num_devices: int, chunk_size: int = 1) -> None:
    """Raises `ValueError` unless a batch cuts evenly, naming the nearest sizes that do.

    Args:
        batch_size: images a step over all devices.
        num_devices: devices among which the batch is cut.
        chunk_size: images that a device encodes at a time.

    Example:
        >>> from kerassl.data.devices import check_divides
        >>> check_divides(30, num_devices=4)
        Traceback (most recent call last):
            ...
        ValueError: A batch of 30 images does not cut evenly among 4 devices; the nearest that do are 28, 32.
    """
    unit = num_devices * chunk_size
    if batch_size % unit:
        below = batch_size - batch_size % unit
        nearest = f"{below}, {below + unit}" if below else str(unit)
        raise ValueError(
            f"A batch of {batch_size} images does not cut evenly {_parts(num_devices, chunk_size)}; the "
            f"nearest that {'do are' if below else 'does is'} {nearest}."
        )


def shard_for_devices(
    x: Any,
    y: Any,
    batch_size: int | None,
    num_devices: int,
    share: tuple[int, int] = (0, 1),
    chunk_size: int = 1,
) -> tuple[Any, Any]:
    """Data whose batches cut evenly among devices, of which this process gives its share.

    A last batch of arrays or of an `ArrayDataset` that does not cut evenly is left out, with a printed note.
    Other data sets must give even batches themselves and, on JAX and torch with several processes, this
    process's share of each.

    Args:
        x: as in `SSLModel.fit`.
        y: labels where `x` is an array.
        batch_size: images a batch where `x` is an array.
        num_devices: devices among which a batch is cut.
        share: index of this process and number of processes.
        chunk_size: images that a device encodes at a time.

    Returns:
        `x` and `y`, cut or copied where needed.

    Raises:
        ValueError: if a batch does not cut evenly, or for arrays of views in several processes.
    """
    if num_devices == chunk_size == 1:
        return x, y
    here = num_devices // share[1]
    if is_array(x) and share[1] > 1:
        x, y = ArrayDataset(x, y, batch_size or 32), None
    if isinstance(x, ArrayDataset):
        check_divides(x.batch_size, num_devices, chunk_size)
        x = copy.copy(x)
        x.share = share
        rest = x.examples_per_epoch % x.batch_size
        if rest % (num_devices * chunk_size) and not x.drop_remainder:
            _note(rest, num_devices, chunk_size)
            x.drop_remainder = True
    elif isinstance(x, keras.utils.PyDataset):
        for index in {0, (x.num_batches or 1) - 1}:
            check_divides(_size(x[index]), here, chunk_size)
    elif hasattr(x, "element_spec"):
        size = _size(x.element_spec)
        if size is None:
            raise ValueError(
                f"Batches of a tf.data.Dataset must say their size to be cut among {num_devices} devices: "
                f"use "
                "dataset.batch(batch_size, drop_remainder=True)."
            )
        check_divides(size, here, chunk_size)
    elif is_array(x) or holds_arrays(x):
        return _cut_arrays(x, y, batch_size or 32, num_devices, share, chunk_size)
    return x, y


def _cut_arrays(
    x: object, y: object, batch_size: int, num_devices: int, share: tuple[int, int], chunk_size: int
):
    if share[1] > 1:
        raise ValueError(
            "Several processes need data that knows its share: a kerassl.data.ArrayDataset or ImageDataset "
            "of raw inputs, or a dataset that gives this process's part of each batch, not arrays."
        )
    check_divides(batch_size, num_devices, chunk_size)
    total = keras.tree.flatten(x)[0].shape[0]
    rest = total % batch_size
    if rest % (num_devices * chunk_size) == 0:
        return x, y
    _note(rest, num_devices, chunk_size)
    return keras.tree.map_structure(lambda array: array[: total - rest], (x, y))


def _size(batch: tuple):
    """Images of a batch, or of its specification."""
    return keras.tree.flatten(batch)[0].shape[0]


def _parts(num_devices: int, chunk_size: int):
    devices = f"among {num_devices} devices" if num_devices > 1 else ""
    chunks = f"into chunks of {chunk_size}" if chunk_size > 1 else ""
    return " ".join(filter(None, (devices, chunks)))


def _note(rest: int, num_devices: int, chunk_size: int):
    parts = _parts(num_devices, chunk_size)
    print(f"The last batch of {rest} images does not cut evenly {parts}; it is left out.")
