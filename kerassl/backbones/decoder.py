"""The decoder of a masked autoencoder: visible tokens and mask tokens in, pixels out."""

import keras
from keras import KerasTensor, layers, ops

from kerassl.arguments import NonNegativeInt, PositiveInt, RemembersArguments
from kerassl.backbones.positions import sincos_positions
from kerassl.backbones.transformer import LayerNorm, TransformerBlock


@keras.saving.register_keras_serializable("kerassl")
class TokenDecoder(RemembersArguments, keras.Model):
    """Adds a mask token for each masked patch to the encoded tokens, and predicts the masked patches.

    Tokens carry their positions, and attention ignores their order, so they keep the order of the input:
    unshuffling them would change no number.

    Args:
        input_dim: width of the encoded tokens.
        output_dim: numbers predicted for a patch, `patch_size**2 * channels` for pixels.
        grid: (rows, columns) of the patches.
        num_prefix_tokens: encoded tokens before the patch tokens (the class token).
        hidden_dim: width of the decoder.
        depth: number of blocks.
        num_heads: attention heads, a divisor of `hidden_dim`.
        name: name of the model.

    Raises:
        ValueError: for a depth below 1.

    Source: arXiv 2111.06377, section 3; facebookresearch/mae `models_mae.py`.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import TokenDecoder
        >>> decoder = TokenDecoder(8, output_dim=12, grid=(2, 2), hidden_dim=16, depth=1, num_heads=2)
        >>> permutation = np.array([[2, 0, 3, 1]])
        >>> tuple(decoder(np.zeros((1, 1 + 1, 8), "float32"), permutation).shape)
        (1, 3, 12)
    """

    def __init__(
        self,
        input_dim: PositiveInt,
        output_dim: PositiveInt,
        grid: tuple[PositiveInt, PositiveInt],
        num_prefix_tokens: NonNegativeInt = 1,
        hidden_dim: PositiveInt = 512,
        depth: PositiveInt = 8,
        num_heads: PositiveInt = 16,
        name: str = "decoder",
    ) -> None:
        super().__init__(name=name)
        self.grid, self.num_prefix_tokens, self.hidden_dim = tuple(grid), num_prefix_tokens, hidden_dim
        with keras.name_scope(name):
            self.embedding = layers.Dense(hidden_dim, name="embedding")
            self.blocks = [
                TransformerBlock(hidden_dim, num_heads, name=f"block{i + 1}") for i in range(depth)
            ]
            self.final_norm = LayerNorm(epsilon=1e-6, name="final_norm")
            self.prediction = layers.Dense(output_dim, name="prediction")
        self.embedding.build((None, None, input_dim))
        self.final_norm.build((None, None, hidden_dim))
        self.prediction.build((None, None, hidden_dim))
        self.mask_token = self.add_weight(
            (1, 1, hidden_dim), keras.initializers.RandomNormal(stddev=0.02), name="mask_token"
        )
        self.built = True

    @classmethod
    def for_pixels(cls, encoder: keras.Model, **decoder) -> "TokenDecoder":
        """A decoder of an encoder's tokens that predicts the pixels of its patches.

        Args:
            encoder: one with the token interface of `kerassl.backbones.vit`.
            **decoder: `hidden_dim`, `depth`, `num_heads` and `name`, as in the constructor.
        """
        return cls(
            input_dim=encoder.hidden_dim,
            output_dim=encoder.patch_size**2 * encoder.input_shape[-1],
            grid=encoder.grid,
            num_prefix_tokens=encoder.num_prefix_tokens,
            **decoder,
        )

    def call(
        self, tokens: KerasTensor, permutation: KerasTensor, training: bool | None = None
    ) -> KerasTensor:
        """Predicts the masked patches.

        Args:
            tokens: encoded tokens `(batch, num_prefix_tokens + visible, input_dim)`.
            permutation: int32 `(batch, rows * columns)`, the patches of each image: first those of the
                given tokens, in their order, then the masked ones.
            training: unused by the decoder's layers.

        Returns:
            `(batch, hidden, output_dim)`, in the order of the last `hidden` entries of `permutation`.
        """
        tokens = self.embedding(tokens)
        num_masked = self.grid[0] * self.grid[1] + self.num_prefix_tokens - tokens.shape[1]
        masked = ops.broadcast_to(
            ops.cast(self.mask_token, tokens.dtype), (ops.shape(tokens)[0], num_masked, self.hidden_dim)
        )
        positions = ops.cast(sincos_positions(self.hidden_dim, self.grid), tokens.dtype)
        prefix, visible = ops.split(tokens, [self.num_prefix_tokens], axis=1)
        patches = ops.concatenate([visible, masked], axis=1) + ops.take(positions, permutation, axis=0)
        tokens = ops.concatenate([prefix, patches], axis=1)
        for block in self.blocks[:-1]:
            tokens = block(tokens, training=training)
        tokens = self.blocks[-1](tokens, training=training, last=num_masked)
        return self.prediction(self.final_norm(tokens))
