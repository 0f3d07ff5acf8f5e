"""A learned temperature for every pair of an embedding's dimensions."""

import math

import keras
from keras import KerasTensor, ops

from kerassl.arguments import PositiveFloat, PositiveInt, RemembersArguments


@keras.saving.register_keras_serializable("kerassl")
class DimensionTemperature(RemembersArguments, keras.layers.Layer):
    """`num_heads` matrices of temperatures, each entry free within bounds; all begin at 1.

    What a dimension stands for belongs to the head and not to a batch, so a pair of them has a weight of its
    own, whose sigmoid goes from the minimum to the maximum.

    Source: the temperatures of pairs of dimensions in AMCL, arXiv 2310.05615, equation 2.3; the paper's
    tables and code do not say how they are computed.

    Args:
        num_heads: number of heads.
        dim: width of an embedding.
        minimum: the smallest temperature; > 0.
        maximum: the largest; > 1.
        name: name of the layer, the prefix of its variable paths.

    Raises:
        ValueError: for a size below 1, or for bounds that do not satisfy 0 < minimum < 1 < maximum.

    Example:
        >>> from kerassl.heads import DimensionTemperature
        >>> tuple(DimensionTemperature(num_heads=3, dim=4).of_pairs().shape)
        (3, 4, 4)
    """

    def __init__(
        self,
        num_heads: PositiveInt,
        dim: PositiveInt,
        minimum: PositiveFloat = 0.1,
        maximum: PositiveFloat = 10.0,
        name: str = "temperature",
    ) -> None:
        super().__init__(name=name, dtype="float32")
        if not minimum < 1 < maximum:
            raise ValueError(
                f"Temperatures of dimensions need 0 < minimum (min_temperature) < 1 < maximum "
                f"(max_temperature), got {minimum} and {maximum}."
            )
        # The sigmoid of the offset is where 1 lies between the bounds.
        self.offset = math.log((1 - minimum) / (maximum - 1))
        self.logits = self.add_weight(name="logits", shape=(num_heads, dim, dim), initializer="zeros")
        self.built = True

    def of_pairs(self) -> KerasTensor:
        """The temperatures `(heads, dim, dim)`."""
        minimum, maximum = self.arguments.minimum, self.arguments.maximum
        return minimum + (maximum - minimum) * ops.sigmoid(self.logits + self.offset)
