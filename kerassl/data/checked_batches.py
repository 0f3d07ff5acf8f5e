"""Data sets whose first batch is checked as it passes."""

import copy
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras

Check = Callable[[Any, Any], None]


def checked_batches(data: object, check: Check) -> object:
    """Returns data that calls `check` with the first batch of each epoch, and is the same data to Keras.

    Order, length and class stay. A `keras.utils.PyDataset`, a torch `DataLoader` and a Grain data set are
    checked each time that they are passed over; a generator, which is passed over once, with its first batch;
    a `tf.data.Dataset` at once, as it can be asked for a batch without being used up. Where several workers
    read, it is one of the first batches. Arrays stay as they are: they can be checked whole.

    Args:
        data: what `keras.Model.fit` takes.
        check: takes the inputs and the labels of a batch, or None for labels where it has none, and raises
            `ValueError` for those that cannot be trained on.

    Raises:
        ValueError: what `check` raises, for a `tf.data.Dataset`.

    Example:
        >>> from kerassl.data import checked_batches
        >>> def check(inputs, labels):
        ...     print("checked", inputs, labels)
        >>> list(checked_batches(((number, -number) for number in range(2)), check))
        checked 0 0
        [(0, 0), (1, -1)]
    """
    if isinstance(data, keras.utils.PyDataset):
        return CheckedBatches(data, check)
    if isinstance(data, types.GeneratorType):
        return _checked(data, check)
    if hasattr(data, "element_spec") and hasattr(data, "take"):
        for batch in data.take(1):
            check_batch(check, batch)
        return data
    if hasattr(data, "map_with_index"):
        return data.map_with_index(_CheckAtStart(check, len(data) if hasattr(data, "__len__") else None))
    if hasattr(data, "__iter__") and not hasattr(data, "shape") and not isinstance(data, (tuple, list, dict)):
        return _with_checked_iterator(data, check)
    return data


class CheckedBatches(keras.utils.PyDataset):
    """A `PyDataset` that checks the first batch that is asked for in each epoch.

    Args:
        dataset: the data set.
        check: as in `checked_batches`.
    """

    def __init__(self, dataset: keras.utils.PyDataset, check: Check) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self.dataset, self.check = dataset, check
        self._checked = False

    def __repr__(self) -> str:
        return repr(self.dataset)

    @property
    def num_batches(self) -> int | None:
        """Batches of an epoch, None where the data set does not end."""
        return self.dataset.num_batches

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Returns batch `index` of the data set."""
        batch = self.dataset[index]
        if not self._checked:
            check_batch(self.check, batch)
            # After the check, so that a batch that is refused is refused again.
            self._checked = True
        return batch

    def on_epoch_begin(self) -> None:
        """Begins the data set's epoch, and with it a new check."""
        self._checked = False
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Ends the data set's epoch."""
        self.dataset.on_epoch_end()


class _CheckAtStart:
    """Checks the batch with which each pass over a Grain data set starts, whose indices may count on."""

    def __init__(self, check: Check, length: int | None) -> None:
        self.check, self.length = check, length

    def __call__(self, index: int, batch: Any) -> Any:
        if (index % self.length if self.length else index) == 0:
            check_batch(self.check, batch)
        return batch


def _checked(batches: Iterator, check: Check) -> Iterator:
    for number, batch in enumerate(batches):
        if number == 0:
            check_batch(check, batch)
        yield batch


def _with_checked_iterator(data: object, check: Check):
    """A copy whose class is a subclass of the data's own: Keras asks for the class."""

    class Checked(type(data)):
        def __iter__(self) -> Iterator:
            return _checked(super().__iter__(), check)

    Checked.__name__ = Checked.__qualname__ = type(data).__name__
    checked = copy.copy(data)
    checked.__class__ = Checked
    return checked


def check_batch(check: Check, batch: Any) -> None:
    """Calls `check` with the inputs and the labels of a batch, `inputs`, `(inputs,)` or a longer tuple."""
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    check(parts[0], parts[1] if len(parts) > 1 else None)
