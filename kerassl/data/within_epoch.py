"""Data sets entered in the middle of an epoch, for a run that resumes where it was interrupted."""

import copy

import keras
import numpy as np

from kerassl.data.array_dataset import ArrayDataset


class OrderedBatches(keras.utils.PyDataset):
    """The batches of a `PyDataset` in an order that is a function of (seed, epoch), from any batch on.

    Keras' own shuffle of a `PyDataset` permutes its batches from Python's random state, which a resumed
    run does not have.

    Args:
        dataset: a `PyDataset` with a length. An attribute `epoch` of it is set to the epoch in use.
        shuffle: whether each epoch has its own order of the batches.
        seed: non-negative integer that keys the order.
        epoch: the epoch to start with.
        start: batches to leave out at the beginning of each epoch.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import ImageDataset, OrderedBatches
        >>> data = ImageDataset(np.zeros((10, 8, 8, 1), "uint8"), np.arange(10), batch_size=2)
        >>> rest = OrderedBatches(data, start=3)
        >>> len(rest), rest[0][1].tolist()
        (2, [6, 7])
    """

    def __init__(
        self,
        dataset: keras.utils.PyDataset,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
    ) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self.dataset, self.shuffle, self.seed, self.start = dataset, shuffle, seed, start
        self._passing = False
        self.epoch = epoch

    @property
    def epoch(self) -> int:
        """The epoch whose order is in use; may be set."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        if hasattr(self.dataset, "epoch"):
            self.dataset.epoch = epoch
        self._order = np.arange(self.dataset.num_batches)
        if self.shuffle:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self._order)

    def __len__(self) -> int:
        return self.dataset.num_batches - self.start

    def __getitem__(self, index: int) -> tuple:
        """Returns batch `index` of the rest of the epoch."""
        return self.dataset[int(self._order[self.start + index])]

    def on_epoch_begin(self) -> None:
        """Tells the data set that a pass begins."""
        self._passing = True
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Tells the data set that a pass has ended and moves on to the next epoch's order."""
        # Keras also ends an epoch that never began, when it resets its iterator at the start of `fit`.
        if self._passing:
            self._passing = False
            self.dataset.on_epoch_end()
            self.epoch += 1


class FixedLengthEpochs(keras.utils.PyDataset):
    """Epochs of `steps_per_epoch` batches over a `PyDataset` of another length.

    Batch `g` of the run is batch `g % n` of pass `g // n` over the `n` batches of the data set, in the order
    of that pass, wherever an epoch begins and ends. Order and position are functions of `g` alone, so that a
    resumed run repeats them.

    Args:
        dataset: a `PyDataset` with a length. For each pass a shallow copy of it gets the pass's number as
            `epoch`, if it has such an attribute.
        steps_per_epoch: batches of an epoch.
        shuffle: whether the batches come in an order of their own in each pass; an `ArrayDataset` makes its
            order itself.
        seed: non-negative integer that keys the order.

    Raises:
        ValueError: for a data set with an `on_epoch_begin` or `on_epoch_end` of its own and no `epoch`.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import FixedLengthEpochs, ImageDataset
        >>> data = ImageDataset(np.zeros((6, 8, 8, 1), "uint8"), np.arange(6), batch_size=2)
        >>> epochs = FixedLengthEpochs(data, steps_per_epoch=2)
        >>> epochs.epoch = 1
        >>> [epochs[i][1].tolist() for i in range(len(epochs))]
        [[4, 5], [0, 1]]
    """

    def __init__(
        self,
        dataset: keras.utils.PyDataset,
        steps_per_epoch: int,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        own = [name for name in ("on_epoch_begin", "on_epoch_end") if _overrides(dataset, name)]
        if own and not hasattr(dataset, "epoch"):
            raise ValueError(
                f"steps_per_epoch={steps_per_epoch} ends epochs within a pass over the {dataset.num_batches} "
                f"batches of {type(dataset).__name__}, whose {' and '.join(own)} would change it there. Give "
                "it an attribute `epoch` that determines its batches, or leave out steps_per_epoch."
            )
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self.dataset, self.steps_per_epoch, self.seed = dataset, steps_per_epoch, seed
        self.shuffle = shuffle and not isinstance(dataset, ArrayDataset)
        self.start_at(0)
        self._passing = False
        self._passes: dict[int, tuple] = {}

    def __len__(self) -> int:
        return self.steps_per_epoch

    def start_at(self, step: int) -> None:
        """Sets the number of the run's batches before the next epoch."""
        self.epoch, self._offset = divmod(step, self.steps_per_epoch)

    def __getitem__(self, index: int) -> tuple:
        """Returns batch `index` of the current epoch."""
        step = self._offset + self.epoch * self.steps_per_epoch + index
        number, batch = divmod(step, self.dataset.num_batches)
        dataset, order = self._pass(number)
        return dataset[int(order[batch])]

    def on_epoch_begin(self) -> None:
        """Notes that an epoch has begun."""
        self._passing = True

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch."""
        # Keras also ends an epoch that never began, when it resets its iterator at the start of `fit`.
        self.epoch += self._passing
        self._passing = False

    def _pass(self, number: int) -> tuple[keras.utils.PyDataset, np.ndarray]:
        """The data set as it is in a pass, and the order of its batches."""
        passes = self._passes
        if number not in passes:
            # A copy for each pass: threads that load ahead may be in the next one already.
            dataset = copy.copy(self.dataset)
            if hasattr(dataset, "epoch"):
                dataset.epoch = number
            order = np.arange(dataset.num_batches)
            if self.shuffle:
                order = np.random.default_rng([self.seed, number]).permutation(order)
            self._passes = {**{n: p for n, p in passes.items() if n >= number - 1}, number: (dataset, order)}
            return dataset, order
        return passes[number]


def can_skip_batches(x: object, length: int | None, steps_per_epoch: int | None) -> bool:
    """Whether `skip_batches` can start within an epoch of this data.

    Args:
        x: the data given to `fit`.
        length: batches per epoch, or `None` if unknown.
        steps_per_epoch: the argument of `fit`.
    """
    if isinstance(x, keras.utils.PyDataset):
        return length is not None and x.num_batches == length
    if not _is_tf_data(x) or length is None:
        return False
    count = int(x.cardinality())
    # What goes on over the epochs' ends is one stream; what ends within an epoch has no known position.
    return count == length or (steps_per_epoch is not None and count < 0)


def skip_batches(x: object, epoch: int, batch: int, length: int) -> object:
    """The data from a batch of an epoch on, to its end; for data that `can_skip_batches`.

    Args:
        x: a `PyDataset` with a length, whose `epoch` is already set if it has one, or a `tf.data.Dataset`.
        epoch: epochs of the run that are done; only an endless `tf.data.Dataset` needs it.
        batch: batches of the epoch that are done.
        length: batches per epoch.
    """
    if _is_tf_data(x):
        done = batch if int(x.cardinality()) == length else epoch * length + batch
        return x.skip(done) if done else x
    if not batch:
        return x
    if isinstance(x, OrderedBatches):
        return OrderedBatches(x.dataset, x.shuffle, x.seed, x.epoch, batch)
    return OrderedBatches(x, epoch=getattr(x, "epoch", 0), start=batch)


def in_epochs_of(
    x: object, steps_per_epoch: int | None, pass_length: int | None, shuffle: bool, seed: int
) -> tuple[object, int | None]:
    """Data in epochs of `steps_per_epoch` batches, however many batches one pass over it has.

    Args:
        x: the data given to `fit`, or an `ImageDataset` of it.
        steps_per_epoch: batches of an epoch; `None` for one pass.
        pass_length: batches of one pass, or `None` if unknown.
        shuffle: whether the batches of a `PyDataset` come in an order of their own in each pass.
        seed: keys that order.

    Returns:
        The data, and `steps_per_epoch` where Keras must be told. A finite `tf.data.Dataset` is repeated.
    """
    if steps_per_epoch is None or pass_length is None:
        return x, steps_per_epoch
    if isinstance(x, keras.utils.PyDataset):
        if steps_per_epoch != pass_length:
            x = FixedLengthEpochs(x, steps_per_epoch, shuffle, seed)
        return x, None
    return (x.repeat() if _is_tf_data(x) and steps_per_epoch != pass_length else x), steps_per_epoch


def _overrides(dataset: keras.utils.PyDataset, name: str) -> bool:
    return getattr(type(dataset), name) is not getattr(keras.utils.PyDataset, name)


def _is_tf_data(x: object) -> bool:
    return hasattr(x, "skip") and hasattr(x, "cardinality") and hasattr(x, "element_spec")
