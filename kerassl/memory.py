"""Memory of past batches: queues of embeddings, first in first out."""

import keras
from keras import KerasTensor, ops


@keras.saving.register_keras_serializable("kerassl")
class FeatureQueue(keras.layers.Layer):
    """The last `size` embeddings, normalised, as Keras variables: saved, resumed and equal on all devices.

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

    def __init__(self, size: int, dim: int, seed: int | None = 0, name: str = "queue") -> None:
        super().__init__(name=name, dtype="float32")
        if size < 1 or dim < 1:
            raise ValueError(f"A queue needs rows and columns; got size={size}, dim={dim}.")
        self.size, self.dim, self.seed = size, dim, seed

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
        self.position.assign((self.position + ops.shape(embeddings)[0]) % self.size)

    def nearest(self, embeddings: KerasTensor) -> KerasTensor:
        """The row of largest cosine for each embedding, (batch, dim) of any length; without gradient."""
        nearest = ops.argmax(self._similarities(embeddings), axis=1)
        return ops.stop_gradient(ops.take(self.features, nearest, axis=0))

    def neighbours(self, embeddings: KerasTensor, count: int) -> KerasTensor:
        """The `count` rows of largest cosines, nearest first: `(batch, count, dim)`, without gradient."""
        _, nearest = ops.top_k(self._similarities(embeddings), count)
        return ops.stop_gradient(ops.take(self.features, nearest, axis=0))

    def _similarities(self, embeddings: KerasTensor):
        return ops.matmul(ops.cast(embeddings, "float32"), ops.transpose(self.features))

    def _replace_oldest(self, variable: keras.Variable, new: KerasTensor) -> None:
        rows = (self.position + ops.arange(ops.shape(new)[0], dtype="int32")) % self.size
        # The last ones only: what a scatter does with a row named twice is not defined.
        rows, new = rows[-self.size :], new[-self.size :]
        variable.assign(ops.scatter_update(variable, rows[:, None], new))

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {"size": self.size, "dim": self.dim, "seed": self.seed, "name": self.name}


@keras.saving.register_keras_serializable("kerassl")
class LabelledQueue(FeatureQueue):
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
        >>> from kerassl.memory import LabelledQueue
        >>> queue = LabelledQueue(size=3, dim=2)
        >>> queue.enqueue(np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([7, 5]))
        >>> print(np.array(queue.labels))
        [ 7  5 -1]
    """

    def __init__(self, size: int, dim: int, seed: int = 0, name: str = "queue") -> None:
        super().__init__(size, dim, seed, name)
        unknown = keras.initializers.Constant(-1)
        self.labels = self.add_weight(
            name="labels", shape=(size,), dtype="int32", initializer=unknown, trainable=False
        )

    def enqueue(self, embeddings: KerasTensor, labels: KerasTensor) -> None:
        """Replaces the oldest rows by embeddings (batch, dim) and labels (batch,) of the global batch."""
        # Before the position moves.
        self._replace_oldest(self.labels, ops.cast(labels, "int32"))
        super().enqueue(embeddings)


def _unit(rows: KerasTensor) -> KerasTensor:
    return rows / ops.maximum(ops.norm(rows, axis=1, keepdims=True), 1e-12)
