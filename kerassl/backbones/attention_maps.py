"""Attention of a vision transformer's class token to the patches."""

from keras import KerasTensor, ops

from kerassl.backbones.vit import ViT


def attention_maps(encoder: ViT, images: KerasTensor) -> KerasTensor:
    """Attention of the class token to each patch in the last block, as DINO's figures show it.

    Source: arXiv 2104.14294, figure 1; facebookresearch/dino, `visualize_attention.py`.

    Args:
        encoder: a `kerassl.backbones.vit`.
        images: normalized floats `(batch, height, width, channels)`.

    Returns:
        Float32 `(batch, heads, rows, columns)`; the values of a head and that of the class token
        itself sum to one.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import attention_maps, vit
        >>> encoder = vit((16, 16, 3), patch_size=4, hidden_dim=16, depth=2, num_heads=4)
        >>> tuple(attention_maps(encoder, np.zeros((2, 16, 16, 3), "float32")).shape)
        (2, 4, 4, 4)
    """
    tokens = encoder.with_class_token(encoder.embed_patches(images))
    for block in encoder.blocks[:-1]:
        tokens = block(tokens, training=False)
    last = encoder.blocks[-1]
    query, key, _ = ops.split(last.qkv(last.attention_norm(tokens)), 3, axis=-1)
    heads, dim = encoder.num_heads, encoder.hidden_dim // encoder.num_heads
    query = ops.cast(ops.reshape(query[:, 0], (-1, heads, 1, dim)), "float32")
    key = ops.cast(ops.reshape(key, (-1, key.shape[1], heads, dim)), "float32")
    scores = ops.matmul(query * dim**-0.5, ops.transpose(key, (0, 2, 3, 1)))
    shares = ops.softmax(scores, axis=-1)[:, :, 0, encoder.num_prefix_tokens :]
    size = encoder.patch_size
    return ops.reshape(shares, (-1, heads, images.shape[1] // size, images.shape[2] // size))
