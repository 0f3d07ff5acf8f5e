"""Outputs of an encoder: features, the feature map before pooling, and maps of earlier layers."""

from collections.abc import Sequence

import keras
from keras import KerasTensor, ops


def average_pool(features: KerasTensor) -> KerasTensor:
    """Features `(batch, dim)` of a map or of tokens `(batch, ..., dim)`; features pass as they are."""
    places = tuple(range(1, len(features.shape) - 1))
    return ops.mean(features, axis=places) if places else features


def feature_dim(encoder: keras.Model) -> int:
    """Width of the encoder's features.

    Raises:
        ValueError: if the encoder is not built, or gives neither `(batch, dim)` nor `(batch, ..., dim)`.
    """
    shape = getattr(encoder, "output_shape", None)
    if isinstance(shape, tuple) and len(shape) >= 2 and isinstance(shape[-1], int):
        return shape[-1]
    raise ValueError(
        f"The encoder {getattr(encoder, 'name', encoder)!r} has the output shape {shape}; it must be a built "
        "keras.Model from inputs to features (batch, dim) or to a feature map (batch, ..., dim). "
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


def check_tokens(encoder: keras.Model, method: str, why: str) -> None:
    """Raises a ValueError unless an encoder has the token interface.

    Args:
        encoder: of the method.
        method: its name.
        why: what it does with tokens, as in "hides patches of an image".
    """
    if not hasattr(encoder, "encode_tokens"):
        raise ValueError(
            f"{method} {why}, which {getattr(encoder, 'name', encoder)!r} cannot do. Use an encoder with the "
            "token interface, such as kerassl.backbones.vit(input_shape, patch_size=16)."
        )


class IntermediateFeatures(keras.Model):
    """An encoder that also returns the outputs of some of its layers, in one pass.

    Args:
        encoder: a functional model, such as `kerassl.backbones.resnet18` makes, or one with the token
            interface of `kerassl.backbones.vit`. Its weights are shared.
        layers: names of its layers; for a ViT those of its blocks, "block1" and so on.
        method: name of the method, for messages.

    Raises:
        ValueError: for a name that the encoder does not have, a layer that gives neither a feature map nor
            tokens, or an encoder whose layers cannot be reached.

    Example:
        >>> import numpy as np
        >>> import kerassl
        >>> from kerassl.backbones.feature_maps import IntermediateFeatures
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> both = IntermediateFeatures(encoder, encoder.stages[2:3], "a method")
        >>> [tuple(x.shape) for x in both(np.zeros((2, 32, 32, 3), "float32"))]
        [(2, 32), (2, 8, 8, 16)]
    """

    def __init__(self, encoder: keras.Model, layers: Sequence[str], method: str) -> None:
        super().__init__(name="intermediate_features")
        is_vit = hasattr(encoder, "encode_tokens")
        if not is_vit and getattr(encoder, "inputs", None) is None:
            raise ValueError(
                f"{method} looks at layers within the encoder, but {encoder.name} is a "
                f"{type(encoder).__name__}, whose layers cannot be asked from outside. Give a functional "
                "keras.Model or a ViT of kerassl.backbones."
            )
        names = [layer.name for layer in (encoder.blocks if is_vit else encoder.layers)]
        missing = [name for name in layers if name not in names]
        if missing:
            raise ValueError(
                f"{method}: the encoder {encoder.name} has no layer {missing[0]!r}; it has "
                f"{', '.join(names)}."
            )
        self.encoder = encoder
        self.names = tuple(layers)
        self.network = None
        if not is_vit:
            outputs = [encoder.get_layer(name).output for name in layers]
            self.network = keras.Model(encoder.inputs, [encoder.output, *outputs])
        for name, shape in zip(layers, self.shapes, strict=True):
            if len(shape) not in (3, 4):
                raise ValueError(
                    f"{method}: the layer {name!r} of {encoder.name} gives {shape}; a feature map "
                    "(batch, h, w, dim) or tokens (batch, n, dim) are needed."
                )
        self.built = True

    def call(self, images: KerasTensor, training: bool | None = None) -> list[KerasTensor]:
        """The encoder's own output, then a feature map or tokens `(batch, n, dim)` of each named layer."""
        if self.network is not None:
            return list(self.network(images, training=training))
        encoder, found = self.encoder, {}
        tokens = encoder.with_class_token(encoder.embed_patches(images))
        for block in encoder.blocks:
            found[block.name] = tokens = block(tokens, training=training)
        return [encoder.pool_tokens(encoder.final_norm(tokens)), *(found[name] for name in self.names)]

    @property
    def shapes(self) -> list[tuple]:
        """Shape of each named layer's output, `None` where it is open."""
        if self.network is not None:
            return [output.shape for output in self.network.outputs[1:]]
        return [(None, None, self.encoder.hidden_dim)] * len(self.names)


def stages_of(encoder: keras.Model, method: str) -> tuple[str, ...]:
    """Names of the last layer of each stage of a network of `kerassl.backbones`.

    Raises:
        ValueError: for an encoder that does not name its stages, or has only one.
    """
    stages = getattr(encoder, "stages", ())
    if len(stages) < 2:
        raise ValueError(
            f"{method} looks at layers within the encoder, and {encoder.name} does not say where its "
            "stages end, or has one only: name the layers, or take a ResNet or ViT of kerassl.backbones."
        )
    return stages
