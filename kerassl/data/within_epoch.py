"""Data sets entered in the middle of an epoch, for a run that goes on where it was interrupted."""

import keras
import numpy as np


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
        """Returns batch `index` of what is left of the epoch."""
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


def can_enter(x: object, length: int | None, steps_per_epoch: int | None) -> bool:
    """Whether `enter` can start within an epoch of this data.

    Args:
        x: what `fit` was given.
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


def enter(x: object, epoch: int, batch: int, length: int) -> object:
    """The data from a batch of an epoch on, to its end; for data that `can_enter`.

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


def _is_tf_data(x: object) -> bool:
    return hasattr(x, "skip") and hasattr(x, "cardinality") and hasattr(x, "element_spec")
