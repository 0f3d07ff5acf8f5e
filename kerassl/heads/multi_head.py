"""Several projection heads on one encoder, computed as one batch of products."""

import keras

from kerassl.arguments import PositiveInt, checked
from kerassl.engine import batch_norm


@checked
def multi_head_mlp(
    input_dim: PositiveInt,
    hidden_dims: tuple[PositiveInt, ...],
    output_dim: PositiveInt,
    num_heads: PositiveInt,
    *,
    activation: str = "relu",
    hidden_batch_norm: bool = False,
    initializer: keras.initializers.Initializer | None = None,
    name: str = "projection",
) -> keras.Sequential:
    """Built heads of equal shape and own weights: (Dense, batch norm, activation) for each width, then Dense.

    All Dense layers have biases. No layer runs once a head: the weights of all heads are one tensor.

    Args:
        input_dim: width of the features that enter every head.
        hidden_dims: widths of a head's hidden layers, possibly none.
        output_dim: width of a head's output.
        num_heads: number of heads.
        activation: activation after each hidden layer.
        hidden_batch_norm: whether hidden layers are batch-normalized.
        initializer: initializer of all kernels; uniform by each head's own fan (Glorot) if not given.
        name: name of the heads, the prefix of their variable paths.

    Returns:
        A `keras.Sequential` from `(batch, input_dim)` to `(batch, num_heads, output_dim)`.

    Raises:
        ValueError: for a width or a number of heads below 1.

    Example:
        >>> from kerassl.heads import multi_head_mlp
        >>> multi_head_mlp(8, (16,), 4, num_heads=3).output_shape
        (None, 3, 4)
    """

    def dense(equation: str, fan_in: int, fan_out: int):
        # Keras' own Glorot would take the heads for a part of the fan.
        limit = (6 / (fan_in + fan_out)) ** 0.5
        return keras.layers.EinsumDense(
            equation,
            output_shape=(num_heads, fan_out),
            bias_axes="ho",
            kernel_initializer=initializer or keras.initializers.RandomUniform(-limit, limit),
        )

    with keras.name_scope(name):
        layers, equation, width = [keras.Input((input_dim,))], "bi,iho->bho", input_dim
        for hidden_dim in hidden_dims:
            layers.append(dense(equation, width, hidden_dim))
            if hidden_batch_norm:
                # One axis, so that no head shares its statistics with another.
                layers.append(keras.layers.Reshape((num_heads * hidden_dim,)))
                layers.append(batch_norm())
                layers.append(keras.layers.Reshape((num_heads, hidden_dim)))
            layers.append(keras.layers.Activation(activation))
            equation, width = "bhi,hio->bho", hidden_dim
        layers.append(dense(equation, width, output_dim))
        return keras.Sequential(layers, name=name)
