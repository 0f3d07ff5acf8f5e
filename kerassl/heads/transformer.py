"""A small transformer that lets a few embeddings attend to each other."""

import keras
import numpy as np

from kerassl.arguments import FractionBelowOne, PositiveInt, checked


@checked
def transformer(
    num_tokens: PositiveInt,
    dim: PositiveInt,
    *,
    depth: PositiveInt = 3,
    num_heads: PositiveInt = 8,
    hidden_dim: PositiveInt | None = None,
    dropout: FractionBelowOne = 0.1,
    name: str = "transformer",
) -> keras.Model:
    """A built transformer encoder: blocks of self-attention and two Dense layers.

    As in "Attention Is All You Need", arXiv 1706.03762: the layer norm follows each residual sum, the
    activation is ReLU. Dropout acts on attention weights, hidden units and both branches.

    Args:
        num_tokens: length of a sequence.
        dim: width of a token.
        depth: number of blocks.
        num_heads: number of attention heads, a divisor of `dim`.
        hidden_dim: width between the two Dense layers; `None` for twice `dim`.
        dropout: rate, in [0, 1).
        name: name of the head, the prefix of its variable paths.

    Returns:
        A `keras.Model` from `(batch, num_tokens, dim)` to the same shape.

    Raises:
        ValueError: for a width that the heads do not divide, or a rate outside [0, 1).

    Example:
        >>> from kerassl.heads import transformer
        >>> transformer(5, 16, depth=1, num_heads=4).output_shape
        (None, 5, 16)
    """
    if dim % num_heads:
        raise ValueError(f"num_heads={num_heads} must divide the width of a token, which is {dim}.")
    layers = keras.layers

    with keras.name_scope(name):
        inputs = x = keras.Input((num_tokens, dim))
        for _ in range(depth):
            attention = layers.MultiHeadAttention(num_heads, dim // num_heads, dropout=dropout)(x, x)
            x = layers.LayerNormalization(epsilon=1e-5)(x + layers.Dropout(dropout)(attention))
            hidden = layers.Dense(hidden_dim or 2 * dim, activation="relu")(x)
            branch = layers.Dense(dim)(layers.Dropout(dropout)(hidden))
            x = layers.LayerNormalization(epsilon=1e-5)(x + layers.Dropout(dropout)(branch))
        return keras.Model(inputs, x, name=name)


@checked
def sinusoidal_positions(num_tokens: PositiveInt, dim: PositiveInt) -> np.ndarray:
    """Fixed positions: sines and cosines of growing wavelengths (arXiv 1706.03762, section 3.5).

    Args:
        num_tokens: length of a sequence.
        dim: width of a token.

    Returns:
        float32 `(num_tokens, dim)`, sines in the even columns and cosines in the odd ones.

    Example:
        >>> from kerassl.heads import sinusoidal_positions
        >>> sinusoidal_positions(2, 4)[0].tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    pairs = np.arange((dim + 1) // 2)
    angles = np.arange(num_tokens)[:, None] / 10000.0 ** (2 * pairs / dim)
    positions = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(num_tokens, -1)
    return positions[:, :dim].astype("float32")
