"""The pre-norm transformer block of a vision transformer, with stochastic depth."""

import math

import keras
from keras import KerasTensor, backend, layers, ops

from kerassl import engine
from kerassl.arguments import FractionBelowOne, PositiveFloat, PositiveInt, RemembersArguments


@keras.saving.register_keras_serializable("kerassl")
class DropPath(RemembersArguments, keras.layers.Layer):
    """Stochastic depth: in training, drops a residual branch for some samples of the batch.

    "Deep Networks with Stochastic Depth", 2016, arXiv 1603.09382. Kept branches are divided by the
    probability of being kept, so that evaluation needs no scale.

    Args:
        rate: probability of dropping, in [0, 1).

    Raises:
        ValueError: for a rate outside [0, 1).

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import DropPath
        >>> x = np.ones((8, 4, 2), "float32")
        >>> sorted(set(np.ravel(DropPath(0.5)(x, training=True)).tolist()) | {0.0, 2.0})
        [0.0, 2.0]
    """

    def __init__(self, rate: FractionBelowOne, **kwargs) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        if rate > 0:
            self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def call(self, x: KerasTensor, training: bool | None = None) -> KerasTensor:
        """Returns `x` with each sample either scaled or set to zero; `x` itself in evaluation."""
        if not training or self.rate == 0:
            return x
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        u = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return x * ops.cast(ops.cast(u >= self.rate, "float32") / (1 - self.rate), x.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns `input_shape`."""
        return input_shape


def gelu(x: KerasTensor) -> KerasTensor:
    """The exact Gaussian error linear unit `x Phi(x)`, computed in float32 at least.

    Written with erf, since TensorFlow's own GELU has no ONNX form, and with its derivative
    `Phi(x) + x phi(x)`, which takes half the time of a chain of derivatives.
    """
    return engine.fused(_gelu, x)


def _gelu(x: KerasTensor):
    def parts(x: KerasTensor):
        wide = ops.cast(x, backend.result_type(x.dtype, "float32"))
        return wide, 1.0 + ops.erf(wide * 2**-0.5)

    @ops.custom_gradient
    def exact(x: KerasTensor):
        wide, twice_cumulative = parts(x)

        def gradient(*arguments: KerasTensor, upstream: KerasTensor | None = None):
            # Recomputed: keeping it in float32 would cost more memory than this costs time.
            wide, twice_cumulative = parts(x)
            upstream = ops.cast(arguments[-1] if upstream is None else upstream, wide.dtype)
            density = ops.exp(-0.5 * ops.square(wide)) * (2 * math.pi) ** -0.5
            return ops.cast(upstream * (0.5 * twice_cumulative + wide * density), x.dtype)

        # In this order LiteRT, which has no erf, recognizes its own GELU.
        return ops.cast(0.5 * wide * twice_cumulative, x.dtype), gradient

    return exact(x)


class LayerNorm(layers.LayerNormalization):
    """Layer norm over the last axis, computed in float32 at least."""

    def call(self, x: KerasTensor) -> KerasTensor:
        """Maps (..., dim) to the same shape."""
        return engine.fused(_layer_norm, x, self.gamma, self.beta, self.epsilon)


def _layer_norm(x: KerasTensor, gamma: KerasTensor, beta: KerasTensor, epsilon: float) -> KerasTensor:
    return ops.layer_normalization(x, gamma, beta, epsilon=epsilon)


@keras.saving.register_keras_serializable("kerassl")
class TransformerBlock(RemembersArguments, keras.layers.Layer):
    """A pre-norm block: x + attention(norm(x)), then x + mlp(norm(x)).

    "An Image is Worth 16x16 Words", 2020, arXiv 2010.11929, equations 2 and 3. Layer norm has an
    epsilon of 1e-6, GELU is exact, query, key and value are one linear map with bias; linear maps start
    Xavier-uniform (facebookresearch/mae `models_mae.py`), which fits any width. The weights exist as
    soon as the layer does.

    Args:
        hidden_dim: width of the tokens.
        num_heads: number of attention heads, a divisor of `hidden_dim`.
        mlp_ratio: hidden width of the MLP over `hidden_dim`.
        drop_path: probability of dropping each of the two branches of a sample in training.

    Raises:
        ValueError: when `num_heads` does not divide `hidden_dim`.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import TransformerBlock
        >>> block = TransformerBlock(hidden_dim=8, num_heads=2)
        >>> tuple(block(np.zeros((2, 5, 8), "float32")).shape)
        (2, 5, 8)
    """

    def __init__(
        self,
        hidden_dim: PositiveInt,
        num_heads: PositiveInt,
        mlp_ratio: PositiveFloat = 4.0,
        drop_path: FractionBelowOne = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if hidden_dim % num_heads:
            raise ValueError(
                f"hidden_dim {hidden_dim} cannot be split among {num_heads} heads: "
                "num_heads must be a divisor of hidden_dim."
            )
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.drop_path = drop_path
        mlp_dim = int(hidden_dim * mlp_ratio)
        dtype = self.dtype_policy
        self.attention_norm = LayerNorm(epsilon=1e-6, dtype=dtype, name="attention_norm")
        self.qkv = layers.Dense(3 * hidden_dim, dtype=dtype, name="qkv")
        self.projection = layers.Dense(hidden_dim, dtype=dtype, name="projection")
        self.attention_drop_path = DropPath(drop_path, dtype=dtype, name="attention_drop_path")
        self.mlp_norm = LayerNorm(epsilon=1e-6, dtype=dtype, name="mlp_norm")
        self.mlp_hidden = layers.Dense(mlp_dim, dtype=dtype, name="mlp_hidden")
        self.mlp_output = layers.Dense(hidden_dim, dtype=dtype, name="mlp_output")
        self.mlp_drop_path = DropPath(drop_path, dtype=dtype, name="mlp_drop_path")
        self.build((None, None, hidden_dim))

    def build(self, input_shape: tuple) -> None:
        """Makes the weights; the constructor calls it, and a second call changes nothing."""
        if self.built:
            return
        tokens = (None, None, self.hidden_dim)
        for layer in (self.attention_norm, self.qkv, self.projection, self.mlp_norm, self.mlp_hidden):
            layer.build(tokens)
        self.mlp_output.build((None, None, self.mlp_hidden.units))

    def call(self, x: KerasTensor, training: bool | None = None, last: int | None = None) -> KerasTensor:
        """Maps tokens to tokens.

        Args:
            x: tokens (batch, n, hidden_dim).
            training: whether stochastic depth is on.
            last: number of tokens at the end to return; by default all. The others are attended
                to, and nothing else is computed for them.

        Returns:
            Tokens (batch, last, hidden_dim), by default of the shape of `x`.
        """
        attended = self._attention(self.attention_norm(x), last)
        x = _last(x, last) + self.attention_drop_path(attended, training=training)
        hidden = gelu(self.mlp_hidden(self.mlp_norm(x)))
        return x + self.mlp_drop_path(self.mlp_output(hidden), training=training)

    def _attention(self, x: KerasTensor, last: int | None) -> KerasTensor:
        head_dim = self.hidden_dim // self.num_heads
        # Split, not indexed: the gradient is one concatenation, not a sum of padded tensors.
        query, key, value = ops.split(self.qkv(x), 3, axis=-1)
        query, key, value = (
            ops.reshape(part, (-1, ops.shape(part)[1], self.num_heads, head_dim))
            for part in (_last(query, last), key, value)
        )
        x = engine.attention(query, key, value)
        return self.projection(ops.reshape(x, (-1, ops.shape(x)[1], self.hidden_dim)))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns `input_shape`."""
        return input_shape


def _last(tokens: KerasTensor, count: int | None) -> KerasTensor:
    """The last tokens of (batch, n, dim); all of them for `None`."""
    if count is None or count == tokens.shape[1]:
        return tokens
    return ops.split(tokens, [tokens.shape[1] - count], axis=1)[1]
