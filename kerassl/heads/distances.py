"""Distances to prototypes: points that embeddings are compared with."""

import keras
from keras import KerasTensor, ops

from kerassl.engine import mark


@keras.saving.register_keras_serializable("kerassl")
class PrototypeDistances(keras.layers.Layer):
    """Squared Euclidean distances of embeddings to K learned points.

    Weight decay leaves the prototypes alone.

    Args:
        input_dim: width of an embedding.
        num_prototypes: number of prototypes K.
        initializer: of the prototypes; by default uniform in [0, 1], for embeddings that are sigmoids.
        name: name of the layer.
        **kwargs: `trainable` and further arguments of `keras.layers.Layer`.

    Attributes:
        prototypes: variable `(input_dim, num_prototypes)`, a prototype a column.

    Raises:
        ValueError: for a width or number below 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.heads import PrototypeDistances
        >>> distances = PrototypeDistances(2, 3, initializer="zeros")
        >>> print([float(distance) for distance in distances(np.array([[3.0, 4.0]]))[0]])
        [25.0, 25.0, 25.0]
    """

    def __init__(
        self,
        input_dim: int,
        num_prototypes: int,
        initializer: str | keras.initializers.Initializer | None = None,
        name: str = "prototypes",
        **kwargs,
    ) -> None:
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        if min(input_dim, num_prototypes) < 1:
            raise ValueError(
                f"PrototypeDistances need at least one input and one prototype; got input_dim={input_dim}, "
                f"num_prototypes={num_prototypes}."
            )
        self.input_dim, self.num_prototypes = input_dim, num_prototypes
        self.initializer = keras.initializers.get(initializer or keras.initializers.RandomUniform(0.0, 1.0))
        self.prototypes = self.add_weight(
            name="prototypes", shape=(input_dim, num_prototypes), initializer=self.initializer
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
        return (*input_shape[:-1], self.num_prototypes)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "num_prototypes": self.num_prototypes,
            "initializer": keras.initializers.serialize(self.initializer),
        }
