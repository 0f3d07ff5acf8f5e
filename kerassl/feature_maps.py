"""What an encoder gives of an image: features, or the feature map before they are pooled."""

import keras
from keras import KerasTensor, ops


def average_pool(features: KerasTensor) -> KerasTensor:
    """Features `(batch, dim)` of a feature map `(batch, h, w, dim)`; features pass as they are."""
    return ops.mean(features, axis=(1, 2)) if len(features.shape) == 4 else features


def feature_dim(encoder: keras.Model) -> int:
    """Width of the encoder's features.

    Raises:
        ValueError: if the encoder is not built, or gives neither `(batch, dim)` nor a feature map.
    """
    shape = getattr(encoder, "output_shape", None)
    if isinstance(shape, tuple) and len(shape) in (2, 4) and isinstance(shape[-1], int):
        return shape[-1]
    raise ValueError(
        f"The encoder {getattr(encoder, 'name', encoder)!r} has the output shape {shape}; it must be a built "
        "keras.Model from images to features (batch, dim) or to a feature map (batch, h, w, dim). "
        "For a backbone of keras-hub, keras-cv or keras.applications use kerassl.backbones.adapt(backbone)."
    )


def check_feature_map(encoder: keras.Model, method: str) -> None:
    """Raises a ValueError unless an encoder gives the feature map whose cells a method compares.

    Args:
        encoder: built `keras.Model` from images.
        method: name of the method.
    """
    if len(encoder.output_shape) != 4:
        raise ValueError(
            f"{method} compares the cells of a feature map (batch, h, w, dim), but {encoder.name} gives "
            f"{encoder.output_shape}. Make the encoder without pooling: kerassl.backbones.resnet18(..., "
            "pool=None), or kerassl.backbones.adapt(backbone, pool=None) for those of other packages."
        )
