"""Memory of past batches: queues of embeddings, first in first out."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import NonNegativeInt, PositiveInt, RemembersArguments
from kerassl.batch import Batch


@keras.saving.register_keras_serializable("kerassl")
class FeatureQueue(RemembersArguments, keras.layers.Layer):
    """The last `size` embeddings, normalized, as Keras variables: saved, resumed and equal on all devices.

    Source: MoCo, arXiv 1911.05722, algorithm 1; facebookresearch/moco, `moco/builder.py`, which starts with
    random unit rows as this does. There the batch must divide the queue; here it need not.

    Args:
        size: number of rows.
        dim: width of an embedding.
        seed: Python integer that draws the first rows; `None` starts with rows of zeros.
        name: name of the layer, the prefix of its variable paths.

    Attributes:
        features: variable (size, dim) of unit rows.
        position: int32 variable, the row that the next embedding goes to: the oldest one.

    Raises:
        ValueError: for a size or width below 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.memory import FeatureQueue
        >>> queue = FeatureQueue(size=4, dim=2)
        >>> queue.enqueue(np.array([[3.0, 4.0]]))
        >>> print(np.round(np.array(queue.nearest(np.array([[6.0, 8.0]]))), 4))
        [[0.6 0.8]]
    """

    def __init__(
        self, size: PositiveInt, dim: PositiveInt, seed: NonNegativeInt | None = 0, name: str = "queue"
    ) -> None:
        super().__init__(name=name, dtype="float32")

        def unit_rows(shape: tuple, dtype: str):
            return _unit(keras.random.normal(shape, dtype=dtype, seed=seed))

        first = "zeros" if seed is None else unit_rows
        self.features = self.add_weight(
            name="features", shape=(size, dim), initializer=first, trainable=False
        )
        self.position = self.add_weight(
            name="position", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.built = True

    def enqueue(self, embeddings: KerasTensor) -> None:
        """Replaces the oldest rows by embeddings (batch, dim) of the global batch, in their order.

        Of a batch larger than the queue the last rows are kept, as if they came one by one.
        """
        new = _unit(ops.stop_gradient(ops.cast(embeddings, "float32")))
        self._replace_oldest(self.features, new)
        self.position.assign((self.position + ops.shape(embeddings)[0]) % self.arguments.size)

    def nearest(self, embeddings: KerasTensor) -> KerasTensor:
        """The row of largest cosine for each embedding, (batch, dim) of any length; without gradient."""
        nearest = ops.argmax(self._similarities(embeddings), axis=1)
        return ops.stop_gradient(ops.take(self.features, nearest, axis=0))

    def neighbors(self, embeddings: KerasTensor, count: int) -> KerasTensor:
        """The `count` rows of largest cosines, nearest first: `(batch, count, dim)`, without gradient."""
        _, nearest = ops.top_k(self._similarities(embeddings), count)
        return ops.stop_gradient(ops.take(self.features, nearest, axis=0))

    def _similarities(self, embeddings: KerasTensor):
        return ops.matmul(ops.cast(embeddings, "float32"), ops.transpose(self.features))

    def _replace_oldest(self, variable: keras.Variable, new: KerasTensor) -> None:
        rows = (self.position + ops.arange(ops.shape(new)[0], dtype="int32")) % self.arguments.size
        # The last ones only: a scatter to the same row twice is undefined.
        rows, new = rows[-self.arguments.size :], new[-self.arguments.size :]
        variable.assign(ops.scatter_update(variable, rows[:, None], new))


@keras.saving.register_keras_serializable("kerassl")
class LabeledQueue(FeatureQueue):
    """A `FeatureQueue` that keeps the label of each embedding; -1 in rows that no embedding has come to yet.

    Args:
        size: number of rows.
        dim: width of an embedding.
        seed: Python integer that draws the first rows.
        name: name of the layer, the prefix of its variable paths.

    Attributes:
        features: as in `FeatureQueue`.
        labels: int32 variable (size,), -1 where unknown.
        position: as in `FeatureQueue`.

    Raises:
        ValueError: for a size or width below 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.memory import LabeledQueue
        >>> queue = LabeledQueue(size=3, dim=2)
        >>> queue.enqueue(np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([7, 5]))
        >>> print(np.array(queue.labels))
        [ 7  5 -1]
    """

    def __init__(
        self, size: PositiveInt, dim: PositiveInt, seed: NonNegativeInt | None = 0, name: str = "queue"
    ) -> None:
        super().__init__(size, dim, seed, name)
        unknown = keras.initializers.Constant(-1)
        self.labels = self.add_weight(
            name="labels", shape=(size,), dtype="int32", initializer=unknown, trainable=False
        )

    def enqueue(self, embeddings: KerasTensor, labels: KerasTensor) -> None:  # type: ignore[override]
        """Replaces the oldest rows by embeddings (batch, dim) and labels (batch,) of the global batch."""
        # Before the position moves.
        self._replace_oldest(self.labels, ops.cast(labels, "int32"))
        super().enqueue(embeddings)


def _unit(rows: KerasTensor) -> KerasTensor:
    return rows / ops.maximum(ops.norm(rows, axis=1, keepdims=True), 1e-12)


class SampleMemory:
    """A value for each example of the training set, as one weight of a model, found by the example's index.

    Examples of unknown index share a row behind the others, which stays as it began.

    Args:
        model: the model whose weight it is.
        name: name of the weight.
        size: number of examples.
        shape: shape of an example's value.
        start: the value before an example was seen.
        dtype: dtype of the values.

    Attributes:
        values: the weight, `(size + 1, *shape)`.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kerassl.memory import SampleMemory
        >>> memory = SampleMemory(keras.layers.Layer(), "seen", size=3, start=-1, dtype="int32")
        >>> memory.write(np.array([2, 3]), np.array([7, 8]))
        >>> np.array(memory.read(np.array([0, 2, 3]))).tolist()
        [-1, 7, -1]
    """

    def __init__(
        self,
        model: keras.layers.Layer,
        name: str,
        size: int,
        shape: tuple[int, ...] = (),
        start: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        self.size = size
        self.values = model.add_weight(
            name=name,
            shape=(size + 1, *shape),
            dtype=dtype,
            initializer=keras.initializers.Constant(start),
            trainable=False,
        )

    def read(self, rows: KerasTensor) -> KerasTensor:
        """The values of examples, `(batch, *shape)`; `rows` are as of `rows_of`."""
        return ops.take(self.values, rows, axis=0)

    def write(self, rows: KerasTensor, values: KerasTensor) -> None:
        """Replaces the remembered values with the values `(batch, *shape)` of the global batch."""
        unknown = ops.reshape(ops.equal(rows, self.size), (-1, *(1,) * (len(values.shape) - 1)))
        values = ops.where(unknown, self.values[self.size], ops.cast(values, self.values.dtype))
        self.values.assign(ops.scatter_update(ops.convert_to_tensor(self.values), rows[:, None], values))


def rows_of(batch: Batch, size: int, training: bool, method: str) -> KerasTensor:
    """Where a `SampleMemory` has the examples of a batch: int32 `(batch,)` in 0..size, `size` where unknown.

    Args:
        batch: the batch of the step.
        size: size of the memory.
        training: whether indices are required.
        method: name of the method, for the message.

    Raises:
        ValueError: in training, for data without indices.
    """
    if batch.indices is None:
        if training:
            raise ValueError(
                f"{method} remembers each example, so it must know which ones it sees: fit an array or a "
                'kerassl.data.ImageDataset, or yield {"inputs": inputs, "sample_index": indices} in place of '
                "inputs (ready views: inputs are (view1, view2)); -1 is unknown."
            )
        first = keras.tree.flatten(batch.inputs)[0]
        return ops.full((ops.shape(first)[0],), size, "int32")
    indices = ops.cast(ops.reshape(batch.indices, (-1,)), "int32")
    return ops.where(ops.logical_and(indices >= 0, indices < size), indices, size)
