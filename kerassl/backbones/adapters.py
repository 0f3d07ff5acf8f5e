"""Encoders from the backbones of keras-hub, keras-cv and keras.applications."""

import math

import keras
from keras import KerasTensor, layers

from kerassl.arguments import Literal, NonNegativeInt
from kerassl.backbones.backbone import Backbone
from kerassl.backbones.checks import check_no_rescaling, check_no_top
from kerassl.backbones.naming import unique_name
from kerassl.backbones.resnet import check_image_shape

_DICT_KEYS = ("pooled_output", "sequence_output", "last_hidden_state")


@keras.saving.register_keras_serializable("kerassl")
class AdaptedEncoder(Backbone, keras.Model):
    """A backbone of another library, pooled to (batch, dim) or with its feature map; made by `adapt`.

    Args:
        backbone: any `keras.Model` from images to a feature map, tokens or features.
        input_shape: (height, width, channels) in pixels; that of the backbone by default.
        pool: "auto", "mean", "cls" or `None`, as in `adapt`.
        num_prefix_tokens: tokens before the patch tokens, as in `adapt`.
        name: name of the model.

    Example:
        >>> import keras
        >>> from kerassl.backbones import AdaptedEncoder
        >>> images = keras.Input((8, 8, 3))
        >>> backbone = keras.Model(images, keras.layers.Conv2D(4, 3)(images))
        >>> AdaptedEncoder(backbone).output_shape
        (None, 4)
    """

    def __init__(
        self,
        backbone: keras.Model,
        input_shape: tuple | None = None,
        pool: Literal["auto", "mean", "cls"] | None = "auto",
        num_prefix_tokens: NonNegativeInt | None = None,
        name: str | None = None,
    ) -> None:
        _check_backbone(backbone)
        if input_shape is not None:
            check_image_shape(input_shape)
        name = name or unique_name(f"{backbone.name}_encoder")
        images = keras.Input(tuple(input_shape or _image_shape(backbone)), name="images")
        output = _apply(backbone, images)
        features = _pooled(output, backbone, images, pool, num_prefix_tokens)
        super().__init__(images, features, name=name)
        self.arguments.input_shape = images.shape[1:]
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: images.shape[-1]})
        self.backbone = backbone


def adapt(
    backbone: keras.Model,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pool: str | None = "auto",
    num_prefix_tokens: int | None = None,
    name: str | None = None,
) -> AdaptedEncoder:
    """Makes an encoder, images -> (batch, dim), of a keras-hub, keras-cv or keras.applications backbone.

    The backbone is shared, not copied: pre-trained weights stay, and so do the constants of its batch
    norm (Keras' momentum 0.99 and epsilon 0.001 in most). It receives the normalized floats that
    the views emit, and must therefore not rescale them again.

    A feature map (batch, height, width, dim) is average-pooled; tokens (batch, n, dim) give the class
    token or the mean of the patch tokens; features (batch, dim) pass as they are. Of several outputs
    the pooled one, else the sequence, else the last (deepest) is used.

    Args:
        backbone: any `keras.Model` from channels-last images, without a classification top.
        input_shape: (height, width, channels) in pixels; that of the backbone by default.
        pool: what to do with tokens: "cls", "mean", or "auto", the class token if it exists. `None`
            keeps the feature map, for methods that compare cells of it.
        num_prefix_tokens: how many tokens (class, register) precede the patch tokens; by default counted
            from the backbone's `patch_size`, and zero where it has none.
        name: name of the encoder.

    Returns:
        An `AdaptedEncoder`.

    Raises:
        ValueError: for a classification model, a task model, a backbone that rescales or normalizes its
            input, has several inputs or channels first, a "cls" pool without class token, or no pool
            without a feature map.

    Example:
        >>> import keras
        >>> from kerassl.backbones import adapt
        >>> mobilenet = keras.applications.MobileNetV2(
        ...     (32, 32, 3), alpha=0.35, include_top=False, weights=None)
        >>> adapt(mobilenet).output_shape
        (None, 1280)
    """
    return AdaptedEncoder(backbone, input_shape, pool, num_prefix_tokens, name)


def _check_backbone(backbone: keras.Model) -> None:
    if isinstance(getattr(backbone, "backbone", None), keras.Model):
        raise ValueError(
            f"{type(backbone).__name__} is a task model around a backbone: pass its `.backbone` to adapt."
        )
    if getattr(backbone, "data_format", "channels_last") == "channels_first":
        raise ValueError(f'{backbone.name} takes channels first: make it with data_format="channels_last".')
    inputs = getattr(backbone, "input", None)
    if isinstance(inputs, dict | list) and len(inputs) > 1:
        raise ValueError(f"{backbone.name} has {len(inputs)} inputs: adapt needs one that takes images only.")
    check_no_top(backbone)
    check_no_rescaling(backbone)


def _image_shape(backbone: keras.Model) -> tuple[int | None, int | None, int]:
    shape = getattr(backbone, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ValueError(
            f"{backbone.name} does not tell the shape of its images (input_shape is {shape}): "
            "pass input_shape=(height, width, channels)."
        )
    return shape[1:]


def _apply(backbone: keras.Model, images: KerasTensor) -> KerasTensor:
    inputs = getattr(backbone, "input", None)
    outputs = backbone(dict.fromkeys(inputs, images) if isinstance(inputs, dict) else images)
    if isinstance(outputs, dict):
        return next((outputs[key] for key in _DICT_KEYS if key in outputs), list(outputs.values())[-1])
    return outputs[-1] if isinstance(outputs, list | tuple) else outputs


def _pooled(
    output: KerasTensor,
    backbone: keras.Model,
    images: KerasTensor,
    pool: str | None,
    num_prefix_tokens: int | None,
) -> KerasTensor:
    rank = len(output.shape)
    if pool is None:
        if rank != 4:
            raise ValueError(f'{backbone.name} gives {output.shape}, no feature map: take pool="auto".')
        return output
    if rank == 3:
        prefix = num_prefix_tokens
        if prefix is None:
            prefix = _count_prefix_tokens(backbone, images.shape[1:3], output.shape[1])
        if pool == "cls" and prefix == 0:
            raise ValueError(
                f'{backbone.name} has no class token that could be found: take pool="mean", '
                "or pass num_prefix_tokens if there is one."
            )
        if pool == "cls" or (pool == "auto" and prefix > 0):
            return output[:, 0]
        return layers.GlobalAveragePooling1D(data_format="channels_last", name="pool")(output[:, prefix:])
    if pool == "cls":
        raise ValueError(f'{backbone.name} gives {output.shape}, no tokens: take pool="auto".')
    if rank == 4:
        return layers.GlobalAveragePooling2D(data_format="channels_last", name="pool")(output)
    if rank == 2:
        return output
    raise ValueError(
        f"{backbone.name} gives an output of shape {output.shape}: adapt needs a feature map (rank 4), "
        "tokens (rank 3) or features (rank 2)."
    )


def _count_prefix_tokens(
    backbone: keras.Model, image_size: tuple[int | None, int | None], num_tokens: int | None
) -> int:
    patch_size = getattr(backbone, "patch_size", None)
    if patch_size is None or num_tokens is None or None in image_size:
        return 0
    sides = (patch_size, patch_size) if isinstance(patch_size, int) else tuple(patch_size)
    num_patches = math.prod(size // side for size, side in zip(image_size, sides, strict=True))
    # Hierarchical transformers merge patches and have fewer tokens than the first grid.
    return max(num_tokens - num_patches, 0)
