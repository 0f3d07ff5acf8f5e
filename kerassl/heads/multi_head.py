"""Several projection heads on one encoder, computed as one batch of products."""

import keras


def multi_head_mlp(
    input_dim: int, hidden_dim: int, output_dim: int, num_heads: int, name: str = "projection"
) -> keras.Sequential:
    """Built heads of equal shape and own weights: Dense, ReLU, Dense, with biases.

    Args:
        input_dim: width of the features that enter every head.
        hidden_dim: width of a head's hidden layer.
        output_dim: width of a head's output.
        num_heads: number of heads.
        name: name of the heads, the prefix of their variable paths.

    Returns:
        A `keras.Sequential` from `(batch, input_dim)` to `(batch, num_heads, output_dim)`.

    Raises:
        ValueError: for a width or a number of heads below 1.

    Example:
        >>> from kerassl.heads import multi_head_mlp
        >>> multi_head_mlp(8, 16, 4, num_heads=3).output_shape
        (None, 3, 4)
    """
    if min(input_dim, hidden_dim, output_dim, num_heads) < 1:
        raise ValueError(
            "Every width and the number of heads must be at least 1; got "
            f"{input_dim}, {hidden_dim}, {output_dim}, {num_heads}."
        )

    def glorot_uniform(fan_in: int, fan_out: int):
        # Keras' own would take the heads for a part of the fan.
        limit = (6 / (fan_in + fan_out)) ** 0.5
        return keras.initializers.RandomUniform(-limit, limit)

    with keras.name_scope(name):
        hidden = keras.layers.EinsumDense(
            "bi,iho->bho",
            output_shape=(num_heads, hidden_dim),
            bias_axes="ho",
            activation="relu",
            kernel_initializer=glorot_uniform(input_dim, hidden_dim),
        )
        output = keras.layers.EinsumDense(
            "bhi,hio->bho",
            output_shape=(num_heads, output_dim),
            bias_axes="ho",
            kernel_initializer=glorot_uniform(hidden_dim, output_dim),
        )
        return keras.Sequential([keras.Input((input_dim,)), hidden, output], name=name)
