"""Distances to prototypes: points that embeddings are compared with."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import PositiveInt, RemembersArguments
from kerassl.engine import mark


@keras.saving.register_keras_serializable("kerassl")
class PrototypeDistances(RemembersArguments, keras.layers.Layer):
    """Squared Euclidean distances of embeddings to K learned points.

    Weight decay leaves the prototypes alone.

    Args:
        input_dim: width of an embedding.
        num_prototypes: number of prototypes K.
        initializer: initializer of the prototypes; by default uniform in [0, 1], for embeddings that are
            sigmoids.
        name: name of the layer.
        **kwargs: `trainable` and further arguments of `keras.layers.Layer`.

    Attributes:
        prototypes: variable `(input_dim, num_prototypes)`, a prototype a column.

    Example:
        >>> import numpy as np
        >>> from kerassl.heads import PrototypeDistances
        >>> distances = PrototypeDistances(2, 3, initializer="zeros")
        >>> print([float(distance) for distance in distances(np.array([[3.0, 4.0]]))[0]])
        [25.0, 25.0, 25.0]
    """

    def __init__(
        self,
        input_dim: PositiveInt,
        num_prototypes: PositiveInt,
        initializer: str | keras.initializers.Initializer | None = None,
        name: str = "prototypes",
        **kwargs,
    ) -> None:
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        initializer = keras.initializers.get(initializer or keras.initializers.RandomUniform(0.0, 1.0))
        self.arguments.initializer = initializer
        self.prototypes = self.add_weight(
            name="prototypes", shape=(input_dim, num_prototypes), initializer=initializer
        )
        mark(self.prototypes, "is_decayed", False)
        self.built = True

    def call(self, embeddings: KerasTensor) -> KerasTensor:
        """Float32 `(..., num_prototypes)`, at least 0, of embeddings `(..., input_dim)`."""
        prototypes = ops.cast(self.prototypes, "float32")
        # Seen from among the prototypes, so that no digits are lost far from the origin.
        origin = ops.mean(prototypes, axis=1)
        prototypes = prototypes - origin[:, None]
        embeddings = ops.cast(embeddings, "float32") - origin
        lengths = ops.sum(ops.square(embeddings), axis=-1, keepdims=True)
        squares = lengths + ops.sum(ops.square(prototypes), axis=0)
        return ops.maximum(squares - 2.0 * ops.matmul(embeddings, prototypes), 0.0)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(..., num_prototypes)`."""
        return (*input_shape[:-1], self.arguments.num_prototypes)
