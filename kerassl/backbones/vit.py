"""Vision transformers with a token interface: embed patches, encode any subset of them, pool."""

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from kerassl.arguments import FractionBelowOne, Literal, PositiveInt, checked
from kerassl.backbones.backbone import Backbone
from kerassl.backbones.naming import unique_name
from kerassl.backbones.patches import patch_grid, patchify, take_patches
from kerassl.backbones.positions import resize_positions, sincos_positions
from kerassl.backbones.resnet import check_image_shape
from kerassl.backbones.transformer import LayerNorm, TransformerBlock

_SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}


@keras.saving.register_keras_serializable("kerassl")
class ViT(Backbone, keras.Model):
    """A vision transformer from images to features, which can also encode a subset of the patches.

    "An Image is Worth 16x16 Words", 2020, arXiv 2010.11929; fixed positions and initialization as in
    MAE (arXiv 2111.06377; facebookresearch/mae `models_mae.py`): linear maps Xavier-uniform, the patch
    embedding as one linear map too; class token and learned positions normal of deviation
    0.02. DINO (arXiv 2104.14294) uses learned positions and the class token, MAE's fine-tuning the
    mean of the patch tokens. There is always one class token, regardless of `pool`: the weights
    and the token layout do not depend on it.

    Images may have another size than `input_shape`, divisible by `patch_size`; positions are then
    interpolated over the same extent. All weights exist as soon as the model does.

    Args:
        input_shape: (height, width, channels) in pixels of the normalized float images.
        patch_size: side of a patch in pixels.
        hidden_dim: width of the tokens.
        depth: number of blocks.
        num_heads: number of attention heads, a divisor of `hidden_dim`.
        pool: "cls" for the class token, "mean" for the mean of the patch tokens, both after the final
            layer norm.
        positions: "sincos" (fixed; that of the class token is zero) or "learned".
        drop_path: stochastic depth of the last block; it grows linearly from 0 at the first.
        name: name of the model, the first part of its variables' paths.
        dtype: precision policy of the layers; the global one by default.

    Attributes:
        grid: (rows, columns) of the patches of an image of `input_shape`.
        num_prefix_tokens: number of tokens before the patch tokens: 1, the class token.

    Raises:
        ValueError: for an unknown pool or positions, or an image size that is not divisible.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import ViT
        >>> encoder = ViT((32, 32, 3), patch_size=8, hidden_dim=16, depth=2, num_heads=2)
        >>> images = np.zeros((2, 32, 32, 3), "float32")
        >>> tuple(encoder(images).shape)
        (2, 16)
        >>> patches = encoder.embed_patches(images)
        >>> tuple(encoder.encode_tokens(patches[:, :4]).shape)
        (2, 5, 16)
    """

    num_prefix_tokens = 1

    def __init__(
        self,
        input_shape: tuple,
        patch_size: PositiveInt = 16,
        hidden_dim: PositiveInt = 192,
        depth: PositiveInt = 12,
        num_heads: PositiveInt = 3,
        pool: Literal["cls", "mean"] = "cls",
        positions: Literal["sincos", "learned"] = "sincos",
        drop_path: FractionBelowOne = 0.0,
        name: str | None = None,
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        check_image_shape(input_shape)
        super().__init__(name=name or unique_name("vit"), dtype=dtype)
        self.image_shape = tuple(input_shape)
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.depth = depth
        self.num_heads = num_heads
        self.pool = pool
        self.positions = positions
        self.drop_path = drop_path
        self.grid = patch_grid(self.image_shape[:2], patch_size)
        if positions == "sincos":
            sincos_positions(hidden_dim, (1, 1))
        dtype = self.dtype_policy
        with keras.name_scope(self.name):
            self.patch_embedding = layers.Dense(hidden_dim, dtype=dtype, name="patch_embedding")
            self.blocks = [
                TransformerBlock(
                    hidden_dim,
                    num_heads,
                    drop_path=drop_path * i / max(depth - 1, 1),
                    dtype=dtype,
                    name=f"block{i + 1}",
                )
                for i in range(depth)
            ]
            self.final_norm = LayerNorm(epsilon=1e-6, dtype=dtype, name="final_norm")
        self.build((None, *self.image_shape))

    def build(self, input_shape: tuple) -> None:
        """Makes the weights; the constructor calls it, and a second call changes nothing."""
        if self.built:
            return
        patch_dim = self.patch_size**2 * self.image_shape[-1]
        self.patch_embedding.build((None, None, patch_dim))
        self.final_norm.build((None, None, self.hidden_dim))
        self.cls_token = self.add_weight((1, self.hidden_dim), _normal(), name="cls_token")
        if self.positions == "learned":
            # The first row belongs to the class token.
            shape = (1 + self.grid[0] * self.grid[1], self.hidden_dim)
            self.position_embedding = self.add_weight(shape, _normal(), name="position_embedding")

    def embed_patches(
        self,
        images: KerasTensor,
        kept: KerasTensor | None = None,
        mask: KerasTensor | None = None,
        mask_token: KerasTensor | None = None,
    ) -> KerasTensor:
        """Embeds patches and adds their positions.

        Args:
            images: normalized floats (batch, height, width, channels).
            kept: int32 (batch, n), the patches of each image to embed; all if not given.
            mask: boolean (batch, n); where true, `mask_token` replaces the embedding.
            mask_token: (hidden_dim,), a weight of the method, not of the encoder.

        Returns:
            Tokens (batch, n, hidden_dim) in the order of `kept`, or (batch, rows * columns, hidden_dim),
            row by row; without the class token.

        Raises:
            ValueError: for images of other channels, or for one of `mask` and `mask_token` without the other.
        """
        if (mask is None) != (mask_token is None):
            raise ValueError("mask and mask_token belong together: pass both, or neither.")
        if images.shape[-1] != self.image_shape[-1]:
            raise ValueError(
                f"This ViT takes images of {self.image_shape[-1]} channels; got {images.shape[-1]}: "
                f"make it with input_shape={(*self.image_shape[:2], images.shape[-1])}."
            )
        grid = patch_grid(images.shape[1:3], self.patch_size)
        patches = patchify(images, self.patch_size)
        if self.positions == "sincos":
            positions = sincos_positions(self.hidden_dim, grid, self.grid)
        else:
            positions = resize_positions(ops.convert_to_tensor(self.position_embedding)[1:], self.grid, grid)
        if kept is not None:
            # Selects pixels instead of tokens, because pixels need no gradient.
            patches = take_patches(patches, kept)
            positions = ops.take(positions, kept, axis=0)
        tokens = self.patch_embedding(patches)
        if mask is not None:
            tokens = ops.where(mask[..., None], ops.cast(mask_token, tokens.dtype), tokens)
        return tokens + ops.cast(positions, tokens.dtype)

    def encode_tokens(
        self, patch_tokens: KerasTensor, training: bool | None = None, normalize: bool = True
    ) -> KerasTensor:
        """Puts the class token first and applies the blocks and the final layer norm.

        Args:
            patch_tokens: tokens (batch, n, hidden_dim) with their positions, any n of them in any order.
            training: whether stochastic depth is on.
            normalize: whether the final layer norm is applied.

        Returns:
            Tokens (batch, num_prefix_tokens + n, hidden_dim), the class token first.
        """
        tokens = self.with_class_token(patch_tokens)
        for block in self.blocks:
            tokens = block(tokens, training=training)
        return self.final_norm(tokens) if normalize else tokens

    def with_class_token(self, patch_tokens: KerasTensor) -> KerasTensor:
        """Returns tokens (batch, num_prefix_tokens + n, hidden_dim), the class token first, as they enter."""
        cls_token = ops.convert_to_tensor(self.cls_token)
        if self.positions == "learned":
            cls_token = cls_token + ops.convert_to_tensor(self.position_embedding)[:1]
        cls_token = ops.cast(cls_token[None], patch_tokens.dtype)
        cls_tokens = ops.broadcast_to(cls_token, (ops.shape(patch_tokens)[0], 1, self.hidden_dim))
        return ops.concatenate([cls_tokens, patch_tokens], axis=1)

    def position_table(self) -> np.ndarray:
        """Positions (1 + rows * columns, hidden_dim) of images of `input_shape`; the class token's first."""
        if self.positions == "learned":
            return ops.convert_to_numpy(self.position_embedding)
        patches = ops.convert_to_numpy(sincos_positions(self.hidden_dim, self.grid, self.grid))
        return np.concatenate([np.zeros((1, self.hidden_dim), "float32"), patches])

    def pool_tokens(self, tokens: KerasTensor) -> KerasTensor:
        """Returns the features (batch, hidden_dim) of encoded tokens: class token or mean of the patches."""
        if self.pool == "cls":
            return tokens[:, 0]
        return ops.mean(tokens[:, self.num_prefix_tokens :], axis=1)

    def call(self, images: KerasTensor, training: bool | None = None) -> KerasTensor:
        """Returns the features (batch, hidden_dim) of images (batch, height, width, channels)."""
        return self.pool_tokens(self.encode_tokens(self.embed_patches(images), training=training))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns (batch, hidden_dim)."""
        return (input_shape[0], self.hidden_dim)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the blocks that end the quarters of the depth."""
        ends = sorted({max(1, round(self.depth * quarter / 4)) for quarter in range(1, 5)})
        return tuple(self.blocks[end - 1].name for end in ends)

    @property
    def variables_by_depth(self) -> list[list[keras.Variable]]:
        """The weights of the embedding, then of each block; the final norm goes with what follows."""
        embedding = [self.cls_token, *self.patch_embedding.weights]
        if self.positions == "learned":
            embedding.append(self.position_embedding)
        return [embedding, *(block.weights for block in self.blocks)]

    @property
    def input_shape(self) -> tuple:
        """Shape of a batch of images, (None, height, width, channels)."""
        return (None, *self.image_shape)

    @property
    def output_shape(self) -> tuple:
        """Shape of a batch of features, (None, hidden_dim)."""
        return (None, self.hidden_dim)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        mode = self.patch_embedding.quantization_mode
        return {**super().get_config(), **({"quantization": mode} if mode else {})}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "ViT":
        """Returns a ViT of the same shape with fresh weights, in 8 bits if the other is quantized."""
        config = dict(config)
        mode = config.pop("quantization", None)
        model = super().from_config(config, custom_objects)
        if mode:
            model.quantize(mode, filters=lambda layer: type(layer) is layers.Dense)
        return model


@checked
def vit(
    input_shape: tuple,
    size: Literal["tiny", "small", "base"] = "tiny",
    patch_size: PositiveInt = 16,
    pool: Literal["cls", "mean"] = "cls",
    positions: Literal["sincos", "learned"] = "sincos",
    drop_path: FractionBelowOne = 0.0,
    hidden_dim: PositiveInt | None = None,
    depth: PositiveInt | None = None,
    num_heads: PositiveInt | None = None,
    name: str | None = None,
) -> ViT:
    """Returns a `ViT` of a named size, images -> (batch, hidden_dim).

    Args:
        input_shape: (height, width, channels) in pixels.
        size: "tiny" (width 192, 12 blocks, 3 heads), "small" (384, 12, 6) or "base" (768, 12, 12).
        patch_size: side of a patch in pixels; 4 suits images of 32.
        pool: "cls" or "mean".
        positions: "sincos" or "learned".
        drop_path: stochastic depth of the last block.
        hidden_dim: width, instead of that of `size`.
        depth: number of blocks, instead of that of `size`.
        num_heads: number of heads, instead of that of `size`.
        name: name of the model.

    Returns:
        A `ViT`.

    Raises:
        ValueError: for an unknown size, pool or positions, or an image size that is not divisible.

    Example:
        >>> from kerassl.backbones import vit
        >>> vit((32, 32, 3), size="tiny", patch_size=8, depth=1).output_shape
        (None, 192)
    """
    width, blocks, heads = _SIZES[size]
    return ViT(
        input_shape,
        patch_size=patch_size,
        hidden_dim=hidden_dim or width,
        depth=depth or blocks,
        num_heads=num_heads or heads,
        pool=pool,
        positions=positions,
        drop_path=drop_path,
        name=name or unique_name(f"vit_{size}"),
    )


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.02)


def check_vit(encoder: keras.Model, method: str, why: str) -> None:
    """Raises a ValueError unless an encoder is a `ViT`.

    Args:
        encoder: of the method.
        method: its name.
        why: what it does with a ViT, as in "trains networks that are parts of it".
    """
    if not isinstance(encoder, ViT):
        got = f"{getattr(encoder, 'name', encoder)!r}, a {type(encoder).__name__}"
        raise ValueError(
            f"{method} {why}, so it needs a ViT of kerassl.backbones, such as "
            f"kerassl.backbones.vit(input_shape, patch_size=16); got {got}."
        )
