"""Sub-networks of a vision transformer: the first channels, heads and hidden units, some of the blocks."""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.backbones.transformer import TransformerBlock, gelu
from kerassl.backbones.vit import ViT


def kept_blocks(max_depth: int, depth: int) -> list[int]:
    """The blocks of a sub-network of `depth` blocks: spread evenly, the first and the last among them.

    Example:
        >>> from kerassl.backbones import kept_blocks
        >>> kept_blocks(6, 4)
        [0, 1, 3, 5]
    """
    return np.linspace(0, max_depth - 1, depth).astype(int).tolist()


def encode_elastic(
    encoder: ViT,
    patch_tokens: KerasTensor,
    width: int | KerasTensor,
    blocks: KerasTensor,
    training: bool | None = None,
) -> KerasTensor:
    """The output of `sub_vit`, computed with the weights of the whole network, for sizes chosen in the step.

    Channels beyond `width` are zero, and dropped blocks add nothing. Shapes are static, so one compiled step
    serves all sizes. Every size costs as much as the whole network.

    Inputs of linear layers are multiplied by `hidden_dim / width`, as in the official code of POA (arXiv
    2408.01031): alipay/POA, `poa/layers/dynamic_ops.py`.

    Args:
        encoder: the whole network.
        patch_tokens: from `encoder.embed_patches`, `(batch, n, hidden_dim)`.
        width: channels that are kept, a multiple of the width of a head; an integer or an int32 scalar.
        blocks: `(depth,)`, 1 or True for a block that is kept.
        training: whether stochastic depth is on.

    Returns:
        Tokens `(batch, num_prefix_tokens + n, hidden_dim)`, 0 beyond `width`.

    Example:
        >>> import keras, numpy as np
        >>> from kerassl.backbones import encode_elastic, vit
        >>> encoder = vit((32, 32, 3), patch_size=8, hidden_dim=16, depth=3, num_heads=4)
        >>> patches = encoder.embed_patches(np.ones((2, 32, 32, 3), "float32"))
        >>> tokens = encode_elastic(encoder, patches, width=8, blocks=np.array([1, 0, 1]))
        >>> tokens.shape[-1], float(keras.ops.max(keras.ops.abs(tokens[..., 8:])))
        (16, 0.0)
    """
    channels = _Channels(encoder, width, patch_tokens.dtype)
    tokens = encoder.with_class_token(patch_tokens) * channels.kept
    blocks = ops.cast(blocks, tokens.dtype)
    for index, block in enumerate(encoder.blocks):
        tokens = _block(block, tokens, channels, blocks[index], training)
    return _layer_norm(encoder.final_norm, tokens, channels)


def sub_vit(encoder: ViT, width: int, depth: int, name: str | None = None) -> ViT:
    """A smaller ViT cut out of an encoder that was trained for it, such as POA's.

    Args:
        encoder: the whole network.
        width: channels to keep, a multiple of the width of a head.
        depth: blocks to keep, at least 1.
        name: name of the model.

    Returns:
        A `ViT` with its own weights. Its positions are learned ones, because the first channels of fixed
        positions differ from fixed positions of fewer channels; it is exact at the encoder's own image size.

    Raises:
        ValueError: for sizes that cannot be cut out.

    Example:
        >>> from kerassl.backbones import sub_vit, vit
        >>> encoder = vit((32, 32, 3), patch_size=8, hidden_dim=16, depth=3, num_heads=4)
        >>> sub_vit(encoder, width=8, depth=2).output_shape
        (None, 8)
    """
    head_dim = encoder.hidden_dim // encoder.num_heads
    if not 0 < width <= encoder.hidden_dim or width % head_dim:
        raise ValueError(
            f"width={width} must be a multiple of {head_dim}, a head's width, up to {encoder.hidden_dim}."
        )
    if not 0 < depth <= encoder.depth:
        raise ValueError(f"depth={depth} must lie in 1..{encoder.depth}.")
    small = ViT(
        encoder.image_shape,
        patch_size=encoder.patch_size,
        hidden_dim=width,
        depth=depth,
        num_heads=width // head_dim,
        pool=encoder.pool,
        positions="learned",
        drop_path=encoder.drop_path,
        name=name or f"{encoder.name}_{width}x{depth}",
    )
    scale = encoder.hidden_dim / width

    def cut(target: keras.layers.Layer, source: keras.layers.Layer, scale: float = 1.0, parts: int = 1):
        """The first rows and columns of a kernel, with columns cut in each of its parts."""
        for variable, whole in zip(target.weights, source.weights, strict=True):
            value = ops.convert_to_numpy(whole)
            value = value.reshape(*value.shape[:-1], parts, -1)[..., : variable.shape[-1] // parts]
            if value.ndim == 3:
                value = value[: variable.shape[0]] * scale
            variable.assign(value.reshape(variable.shape))

    cut(small.patch_embedding, encoder.patch_embedding)
    cut(small.final_norm, encoder.final_norm)
    small.cls_token.assign(ops.convert_to_numpy(encoder.cls_token)[:, :width])
    small.position_embedding.assign(encoder.position_table()[:, :width])
    for block, index in zip(small.blocks, kept_blocks(encoder.depth, depth), strict=True):
        whole = encoder.blocks[index]
        cut(block.attention_norm, whole.attention_norm)
        cut(block.qkv, whole.qkv, scale, parts=3)
        cut(block.projection, whole.projection, scale)
        cut(block.mlp_norm, whole.mlp_norm)
        cut(block.mlp_hidden, whole.mlp_hidden, scale)
        cut(block.mlp_output, whole.mlp_output, scale)
    return small


class _Channels:
    """The kept channels and hidden units, and the factors for the inputs of linear layers."""

    def __init__(self, encoder: ViT, width: int | KerasTensor, dtype: str) -> None:
        def first(count: int, kept: int | KerasTensor):
            return ops.cast(ops.arange(count, dtype="int32") < kept, dtype)

        hidden_units = encoder.blocks[0].mlp_hidden.units
        self.width = ops.cast(width, "float32")
        self.kept = first(encoder.hidden_dim, width)
        self.kept_hidden = first(hidden_units, width * (hidden_units // encoder.hidden_dim))
        self.scale = ops.cast(encoder.hidden_dim / self.width, dtype)


def _block(
    block: TransformerBlock, x: KerasTensor, channels: _Channels, gate: KerasTensor, training: bool | None
):
    """`TransformerBlock.call` on the kept channels; `gate` is 0 for a dropped block."""
    heads = (-1, x.shape[1], block.num_heads, block.hidden_dim // block.num_heads)
    qkv = block.qkv(_layer_norm(block.attention_norm, x, channels) * channels.scale)
    query, key, value = ops.split(qkv, 3, axis=-1)
    # Heads beyond the width attend to nothing but zeros.
    value = value * channels.kept
    attended = engine.attention(*(ops.reshape(part, heads) for part in (query, key, value)))
    attended = ops.reshape(attended, (-1, *x.shape[1:]))
    attended = block.projection(attended * channels.scale) * (channels.kept * gate)
    x = x + block.attention_drop_path(attended, training=training)
    hidden = gelu(block.mlp_hidden(_layer_norm(block.mlp_norm, x, channels) * channels.scale))
    hidden = block.mlp_output(hidden * (channels.kept_hidden * channels.scale)) * (channels.kept * gate)
    return x + block.mlp_drop_path(hidden, training=training)


def _layer_norm(norm: keras.layers.Layer, x: KerasTensor, channels: _Channels) -> KerasTensor:
    """Layer norm over the kept channels, in float32; the other channels are zero."""
    wide, kept = ops.cast(x, "float32"), ops.cast(channels.kept, "float32")
    mean = ops.sum(wide, axis=-1, keepdims=True) / channels.width
    centered = (wide - mean) * kept
    variance = ops.sum(ops.square(centered), axis=-1, keepdims=True) / channels.width
    normed = centered * ops.rsqrt(variance + norm.epsilon)
    normed = normed * ops.cast(norm.gamma, "float32") + ops.cast(norm.beta, "float32") * kept
    return ops.cast(normed, x.dtype)
