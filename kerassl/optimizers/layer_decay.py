"""Layer-wise decay of the learning rate: early layers of a pretrained encoder change less."""

import keras


def layerwise_factors(encoder: keras.Model, decay: float) -> dict[str, float]:
    """Factors of the learning rate for an encoder that is fine-tuned.

    Of n groups of weights, from the images on, group i (from 0) has the factor `decay ** (n - i)`; what
    follows, such as the head and the final norm of a ViT, has 1. The groups of a ViT are the embedding with
    class token and positions, and each block, so that block i of a depth d (from 1) has
    `decay ** (d + 1 - i)`; those of a ResNet are its stem and each stage.

    Source: BEiT, arXiv 2106.08254, appendix; facebookresearch/mae, `util/lr_decay.py`.

    Args:
        encoder: a ViT or ResNet of `kerassl.backbones`.
        decay: in (0, 1]; 0.75 and 0.65 are usual for ViTs of 12 blocks.

    Returns:
        `{path of a variable: factor}`, the `rate_factors` of the optimizers of kerassl.

    Raises:
        ValueError: for a decay outside (0, 1], or an encoder that does not say which of its weights are
            the deeper ones.

    Example:
        >>> from kerassl.optimizers import AdamW, layerwise_factors
        >>> from kerassl.backbones import vit
        >>> encoder = vit((16, 16, 3), patch_size=8, hidden_dim=16, depth=2, num_heads=2, name="mine")
        >>> factors = layerwise_factors(encoder, 0.5)
        >>> factors["mine/cls_token"], factors["mine/block1/qkv/kernel"], factors["mine/block2/qkv/kernel"]
        (0.125, 0.25, 0.5)
        >>> optimizer = AdamW(1e-3, rate_factors=factors)
    """
    if not 0 < decay <= 1:
        raise ValueError(f"The layer-wise decay must be in (0, 1], got {decay}; 0.75 is usual.")
    groups = getattr(encoder, "variables_by_depth", None)
    if groups is None:
        raise ValueError(
            f"A layer-wise decay needs a ViT or ResNet of kerassl.backbones, whose depth is known; "
            f"{encoder.name} is a {type(encoder).__name__}. Fine-tune it with a decay of 1."
        )
    return {
        variable.path: float(decay ** (len(groups) - index))
        for index, group in enumerate(groups)
        for variable in group
        if variable.trainable
    }
