"""Projection and prediction heads: multilayer perceptrons with batch norm between the layers."""

import keras

from kerassl.arguments import Literal, PositiveInt, checked
from kerassl.engine import batch_norm


def fan_in_uniform() -> keras.initializers.Initializer:
    """Uniform within `1 / sqrt(inputs)` of 0: the default initialization of PyTorch's layers."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


@checked
def mlp(
    input_dim: PositiveInt,
    hidden_dims: tuple[PositiveInt, ...],
    output_dim: PositiveInt,
    *,
    activation: str = "relu",
    hidden_bias: bool = False,
    hidden_batch_norm: bool = True,
    output_bias: bool = False,
    output_batch_norm: Literal["affine", "scale", "plain"] | None = None,
    initializer: str | keras.initializers.Initializer = "glorot_uniform",
    name: str = "projection",
) -> keras.Sequential:
    """A built head: (Dense, batch norm, activation) for each hidden width, then Dense.

    Args:
        input_dim: width of the features that enter.
        hidden_dims: widths of the hidden layers, possibly none.
        output_dim: width of the output.
        activation: activation after each hidden layer.
        hidden_bias: whether hidden Dense layers have a bias.
        hidden_batch_norm: whether hidden layers are batch-normalized.
        output_bias: whether the last Dense layer has a bias.
        output_batch_norm: after the last layer: `None`, `"affine"`, `"scale"` (no offset) or `"plain"`.
        initializer: initializer of all kernels.
        name: name of the head, the prefix of its variable paths.

    Returns:
        A `keras.Sequential` from `(batch, input_dim)` to `(batch, output_dim)`.

    Raises:
        ValueError: for a width below 1 or an unknown `output_batch_norm`.

    Example:
        >>> from kerassl.heads import mlp
        >>> mlp(8, (16,), 4).output_shape
        (None, 4)
    """
    norms = {"affine": (True, True), "scale": (False, True), "plain": (False, False)}

    def dense(width: int, use_bias: bool):
        return keras.layers.Dense(width, use_bias=use_bias, kernel_initializer=initializer)

    with keras.name_scope(name):
        layers = [keras.Input((input_dim,))]
        for width in hidden_dims:
            layers.append(dense(width, hidden_bias))
            if hidden_batch_norm:
                layers.append(batch_norm())
            layers.append(keras.layers.Activation(activation))
        layers.append(dense(output_dim, output_bias))
        if output_batch_norm is not None:
            center, scale = norms[output_batch_norm]
            layers.append(batch_norm(center=center, scale=scale))
        return keras.Sequential(layers, name=name)


@checked
def plain_mlp(
    input_dim: PositiveInt,
    hidden_dims: tuple[PositiveInt, ...],
    output_dim: PositiveInt,
    name: str = "projector",
) -> keras.Sequential:
    """An `mlp` whose layers have biases and no batch norm.

    Args:
        input_dim: width of the features that enter.
        hidden_dims: widths of the hidden layers, possibly none.
        output_dim: width of the output.
        name: name of the head, the prefix of its variable paths.

    Example:
        >>> from kerassl.heads import plain_mlp
        >>> len(plain_mlp(8, (16,), 4).trainable_variables)
        4
    """
    return mlp(
        input_dim,
        hidden_dims,
        output_dim,
        hidden_bias=True,
        hidden_batch_norm=False,
        output_bias=True,
        name=name,
    )
