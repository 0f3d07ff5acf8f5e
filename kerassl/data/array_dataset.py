"""Arrays in memory, in an order that is a pure function of (seed, epoch, index)."""

from typing import Any

import keras
import numpy as np

from kerassl.batch import with_sample_index
from kerassl.data.lazy_images import LazyImages
from kerassl.data.validation import as_array, validate_labels


class ArrayDataset(keras.utils.PyDataset):
    """Batches of examples of any kind, reshuffled each epoch in an order that a resumed run repeats.

    The order of epoch e is `np.random.default_rng([seed, e]).permutation(num_examples)`: it depends on
    nothing else, so setting `epoch` is all that an exact resume needs. Keras advances the epoch at the
    end of each pass of `fit`, `evaluate` or `predict`. `SSLModel.fit` leaves the order alone; a plain
    `keras.Model.fit` permutes the batches once more from Python's own random state unless it is called
    with `shuffle=False`.

    A batch is `(inputs,)`, or `(inputs, labels)` where there are labels; with `with_indices=True` its inputs
    come with their indices, as `kerassl.data.with_sample_index` makes them.

    Args:
        inputs: an array, or a tuple or a dict of arrays (also nested), all with `num_examples` entries on
            their first axis: waveforms, signals, tables, volumes, pairs of two kinds. A list is one array.
        labels: `(num_examples,)` integers, -1 for unlabeled, or None for no labels at all.
        batch_size: examples a batch; the last batch may be smaller.
        shuffle: whether each epoch has a new order; False keeps the order of `inputs`.
        seed: non-negative integer that keys the order.
        drop_remainder: whether to leave out a last batch smaller than `batch_size`.
        epoch: the epoch to start with.
        num_classes: number of classes, to check the labels with.
        with_indices: whether a batch holds the int32 `(batch,)` indices of its examples in `inputs`, for
            methods that remember each example.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Attributes:
        inputs: the inputs, in their own order.
        labels: the labels as int32, in the order of `inputs`, or None.
        num_examples: number of examples.
        examples_per_epoch: examples that an epoch shows: all, where a subclass does not choose.
        batch_size: examples a batch.
        epoch: the epoch whose order is in use; may be set.
        with_indices: whether batches also hold indices; may be set.
        share: `(index, count)`: of the `count` equal parts of each batch, the one that this process gives.

    Raises:
        ValueError: no example, arrays of different lengths or without numbers, labels that `validate_batch`
            refuses, or a bad `batch_size`, `seed` or `epoch`.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import ArrayDataset
        >>> inputs = {"signal": np.zeros((10, 50, 2), "float32"), "table": np.zeros((10, 7), "float32")}
        >>> data = ArrayDataset(inputs, labels=np.arange(10) % 3, batch_size=4)
        >>> data
        ArrayDataset(10 examples of {signal: (50, 2) float32, table: (7,) float32}, 3 classes, batch_size=4)
        >>> inputs, labels = data[2]
        >>> inputs["signal"].shape, labels.tolist()
        ((2, 50, 2), [2, 0])
    """

    # What `repr` calls the examples.
    noun = "examples"

    def __init__(
        self,
        inputs: Any,
        labels: np.ndarray | None = None,
        batch_size: int = 256,
        shuffle: bool = False,
        seed: int = 0,
        drop_remainder: bool = False,
        epoch: int = 0,
        num_classes: int | None = None,
        with_indices: bool = False,
        **kwargs,
    ) -> None:
        inputs = to_arrays(inputs)
        lazy = any(isinstance(array, LazyImages) for array in keras.tree.flatten(inputs))
        # With two workers Keras reads ahead, with one it does not.
        super().__init__(**{"workers": 2, **kwargs} if lazy else kwargs)
        if labels is not None and not keras.ops.is_tensor(labels):
            labels = as_array(labels, "labels")
        labels = None if labels is None else to_arrays(labels)
        self.check(inputs, labels, num_classes)
        count = len(keras.tree.flatten(inputs)[0])
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
        if seed < 0 or epoch < 0:
            raise ValueError(f"seed and epoch must be at least 0; got seed={seed} and epoch={epoch}.")
        if drop_remainder and count < batch_size:
            raise ValueError(
                f"drop_remainder=True leaves no batch of {batch_size} from {count} examples. "
                f"Pass batch_size={count} or less, or drop_remainder=False."
            )
        self.inputs = inputs
        self.labels = None if labels is None else labels.astype("int32")
        self.num_examples = self.examples_per_epoch = count
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self.epoch = epoch
        self.with_indices = with_indices
        self.share = (0, 1)
        self._passing = False
        self._cached_order: tuple[int, np.ndarray] | None = None

    def check(self, inputs: Any, labels: np.ndarray | None, num_classes: int | None) -> None:
        """Raises `ValueError` for inputs or labels that cannot be trained on.

        Args:
            inputs: an array, or a tuple or dict of arrays.
            labels: `(num_examples,)` array or None.
            num_classes: labels must be below it; None for any.
        """
        arrays = keras.tree.flatten(inputs)
        if not arrays:
            raise ValueError(f"The inputs hold no array; got {inputs!r}.")
        for array in arrays:
            if array.ndim < 1 or array.dtype.kind not in "uifb":
                raise ValueError(
                    "Inputs must be arrays of numbers with one entry an example on the first axis; got shape "
                    f"{array.shape} and dtype {array.dtype}. Encode text and categories as integers first."
                )
        counts = sorted({len(array) for array in arrays})
        if counts[0] == 0:
            raise ValueError("The inputs are empty: 0 examples. At least one is needed.")
        if len(counts) > 1:
            lengths = ", ".join(map(str, counts))
            raise ValueError(
                f"All arrays must have one entry an example on the first axis; got lengths {lengths}."
            )
        validate_labels(labels, counts[0], num_classes)

    def __repr__(self) -> str:
        shuffled = f", shuffle=True, seed={self.seed}, epoch={self.epoch}" if self.shuffle else ""
        classes = "no labels"
        if self.labels is not None:
            classes = f"{len(np.unique(self.labels[self.labels >= 0]))} classes"
            unlabeled = int((self.labels < 0).sum())
            classes += f" ({unlabeled} unlabeled)" if unlabeled else ""
        return (
            f"{type(self).__name__}({self.num_examples} {self.noun} of {_describe(self.inputs)}, {classes}, "
            f"batch_size={self.batch_size}{shuffled})"
        )

    def order(self, epoch: int | None = None) -> np.ndarray:
        """Returns the `(examples_per_epoch,)` indices of an epoch in the order in which they come.

        Args:
            epoch: the epoch, by default the current one.
        """
        epoch = self.epoch if epoch is None else epoch
        if not self.shuffle:
            return np.arange(self.num_examples)
        cached = self._cached_order  # read once: loader threads may replace it
        if cached is None or cached[0] != epoch:
            cached = (epoch, self.draw_order(np.random.default_rng([self.seed, epoch])))
            self._cached_order = cached
        return cached[1]

    def draw_order(self, rng: np.random.Generator) -> np.ndarray:
        """Returns the `(examples_per_epoch,)` indices of an epoch whose generator is `rng`."""
        return rng.permutation(self.num_examples)

    def __len__(self) -> int:
        full, rest = divmod(self.examples_per_epoch, self.batch_size)
        return full + (rest > 0 and not self.drop_remainder)

    def __getitem__(self, index: int) -> tuple:
        """Returns batch `index` of the current epoch, a tuple as the class says."""
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of a dataset of {len(self)} batches.")
        start, stop = index * self.batch_size, min((index + 1) * self.batch_size, self.examples_per_epoch)
        if self.share[1] > 1:
            part = (stop - start) // self.share[1]
            start, stop = start + self.share[0] * part, start + (self.share[0] + 1) * part
        rows = self.order()[start:stop] if self.shuffle else slice(start, stop)
        inputs = keras.tree.map_structure(lambda array: array[rows], self.inputs)
        return self.pack(inputs, rows)

    def pack(self, inputs: Any, rows: np.ndarray | slice) -> tuple:
        """Returns the batch of the inputs of some rows."""
        labels = None if self.labels is None else self.labels[rows]
        if self.with_indices:
            inputs = with_sample_index(inputs, np.arange(self.num_examples, dtype="int32")[rows])
        return (inputs,) if labels is None else (inputs, labels)

    def on_epoch_begin(self) -> None:
        """Notes that a pass has begun."""
        self._passing = True

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch's order at the end of a pass."""
        # Keras also ends an epoch that never began, when it resets its iterator at the start of `fit`.
        self.epoch += self._passing
        self._passing = False


def to_arrays(inputs: Any) -> Any:
    """Returns inputs with tensors and lists replaced by NumPy arrays; tuples and dicts stay."""
    if isinstance(inputs, dict):
        return {name: to_arrays(value) for name, value in inputs.items()}
    if isinstance(inputs, tuple):
        parts = [to_arrays(value) for value in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else tuple(parts)
    if isinstance(inputs, LazyImages):
        return inputs
    return keras.ops.convert_to_numpy(inputs) if keras.ops.is_tensor(inputs) else as_array(inputs)


def _describe(inputs: Any):
    if isinstance(inputs, dict):
        return "{" + ", ".join(f"{name}: {_describe(value)}" for name, value in inputs.items()) + "}"
    if isinstance(inputs, tuple):
        return "(" + ", ".join(map(_describe, inputs)) + ")"
    return f"{inputs.shape[1:]} {inputs.dtype}"
