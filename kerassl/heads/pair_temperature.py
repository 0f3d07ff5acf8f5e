"""A temperature for every pair of embeddings, learned from both."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import PositiveFloat, PositiveInt, RemembersArguments


@keras.saving.register_keras_serializable("kerassl")
class PairTemperature(RemembersArguments, keras.layers.Layer):
    """A perceptron of one hidden layer from two concatenated embeddings to their temperature.

    The first layer of a perceptron on a concatenation is a sum of two products, one for each embedding, so
    that a pair costs `hidden_dim` additions and not a product of its own; the pairs' hidden values are never
    held, not for the gradient either. The same perceptron serves all heads. It is not symmetric: the
    temperature of (a, b) differs from that of (b, a).

    Source: AMCL, arXiv 2310.05615; LeiWangR/cl, `amcl_components/adaptive_temperature.py`, which has a
    perceptron for each head where the figure of the paper shares one. That it sees directions, embeddings of
    length one, is our choice: a temperature then does not drift with their length.

    Args:
        dim: width of an embedding.
        hidden_dim: width of the hidden layer.
        minimum: the smallest temperature; > 0.
        maximum: the largest; the sigmoid of the perceptron's output goes from one to the other, and begins
            near the middle.
        name: name of the layer, the prefix of its variable paths.

    Raises:
        ValueError: for a width below 1, or for bounds that do not satisfy 0 < minimum < maximum.

    Example:
        >>> import numpy as np
        >>> from kerassl.heads import PairTemperature
        >>> temperature = PairTemperature(dim=4)
        >>> tuple(temperature(np.ones((5, 3, 4)), np.ones((7, 3, 4))).shape)
        (3, 5, 7)
    """

    def __init__(
        self,
        dim: PositiveInt,
        hidden_dim: PositiveInt = 128,
        minimum: PositiveFloat = 1e-5,
        maximum: PositiveFloat = 2.0,
        name: str = "temperature",
    ) -> None:
        super().__init__(name=name, dtype="float32")
        if not minimum < maximum:
            raise ValueError(
                f"Temperatures need 0 < minimum (min_temperature) < maximum (max_temperature), got {minimum} "
                f"and {maximum}."
            )

        def kernel(name: str):
            # Drawn as one kernel on both embeddings is; an initializer draws the same for each of them.
            limit = (6 / (2 * dim + hidden_dim)) ** 0.5
            uniform = keras.initializers.RandomUniform(-limit, limit)
            return self.add_weight(name=name, shape=(dim, hidden_dim), initializer=uniform)

        self.first_kernel, self.second_kernel = kernel("first_kernel"), kernel("second_kernel")
        self.hidden_bias = self.add_weight(name="hidden_bias", shape=(hidden_dim,), initializer="zeros")
        self.output_kernel = self.add_weight(name="output_kernel", shape=(hidden_dim, 1))
        self.output_bias = self.add_weight(name="output_bias", shape=(), initializer="zeros")
        self.built = True

    def call(self, first: KerasTensor, second: KerasTensor) -> KerasTensor:
        """Temperatures `(heads, n, m)` of all pairs of embeddings `(n, heads, dim)` and `(m, heads, dim)`."""
        first, second = self._hidden(first, second)
        return self._bounded(_of_all_pairs(first, second, self.output_kernel[:, 0]))

    def of_rows(self, first: KerasTensor, second: KerasTensor) -> KerasTensor:
        """Temperatures `(heads, n)` of the embeddings of equal rows, both `(n, heads, dim)`."""
        first, second = self._hidden(first, second)
        outputs = ops.matmul(ops.relu(first + second), self.output_kernel)[:, :, 0]
        return self._bounded(ops.transpose(outputs))

    def _hidden(self, first: KerasTensor, second: KerasTensor):
        """Each embedding's contribution to the hidden layer, of shape (rows, heads, hidden_dim)."""
        of_first = ops.matmul(_unit(first), self.first_kernel) + self.hidden_bias
        return of_first, ops.matmul(_unit(second), self.second_kernel)

    def _bounded(self, outputs: KerasTensor):
        minimum, maximum = self.arguments.minimum, self.arguments.maximum
        return minimum + (maximum - minimum) * ops.sigmoid(outputs + self.output_bias)


def _of_all_pairs(first: KerasTensor, second: KerasTensor, weights: KerasTensor) -> KerasTensor:
    """`(heads, n, m)` sums over hidden units k of `weights_k relu(first_ik + second_jk)`."""

    # One unit at a time: all at once would be (heads, n, m, units) numbers.
    @ops.custom_gradient
    def by_units(first: KerasTensor, second: KerasTensor, weights: KerasTensor):
        def add(k: KerasTensor, total: KerasTensor):
            of_first, of_second, weight = (ops.take(x, k, axis=0) for x in (first, second, weights))
            return total + weight * ops.relu(of_first[:, :, None] + of_second[:, None, :])

        start = ops.zeros((*ops.shape(first)[1:], ops.shape(second)[2]))
        total = ops.fori_loop(0, weights.shape[0], add, start)

        def gradient(*arguments: KerasTensor, upstream: KerasTensor | None = None):
            upstream = arguments[-1] if upstream is None else upstream

            def of_unit(_: tuple, unit: tuple):
                of_first, of_second, weight = unit
                hidden = of_first[:, :, None] + of_second[:, None, :]
                reached = ops.where(hidden > 0, upstream, 0.0)
                to_rows = weight * ops.sum(reached, axis=2), weight * ops.sum(reached, axis=1)
                gradients = (*to_rows, ops.sum(reached * hidden))
                # TensorFlow requires every turn to return the carried value.
                return gradients, gradients

            start = tuple(ops.zeros_like(x[0]) for x in (first, second, weights))
            return ops.scan(of_unit, start, (first, second, weights))[1]

        return total, gradient

    first, second = (ops.transpose(x, (2, 1, 0)) for x in (first, second))
    return by_units(first, second, weights)


def _unit(embeddings: KerasTensor):
    embeddings = ops.cast(embeddings, "float32")
    return embeddings * ops.rsqrt(ops.sum(ops.square(embeddings), axis=-1, keepdims=True) + 1e-8)
