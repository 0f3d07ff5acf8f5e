"""Encoders from the backbones of keras-hub, keras-cv and keras.applications."""

import math

import keras
from keras import KerasTensor, layers

from kerassl.backbones.naming import unique_name

_DICT_KEYS = ("pooled_output", "sequence_output", "last_hidden_state")


@keras.saving.register_keras_serializable("kerassl")
class AdaptedEncoder(keras.Model):
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
        input_shape: tuple[int | None, int | None, int] | None = None,
        pool: str | None = "auto",
        num_prefix_tokens: int | None = None,
        name: str | None = None,
    ) -> None:
        _check_backbone(backbone)
        if pool not in ("auto", "mean", "cls", None):
            raise ValueError(f'pool must be "auto", "mean", "cls" or None; got {pool!r}.')
        name = name or unique_name(f"{backbone.name}_encoder")
        images = keras.Input(tuple(input_shape or _image_shape(backbone)), name="images")
        output = _apply(backbone, images)
        features = _pooled(output, backbone, images, pool, num_prefix_tokens)
        super().__init__(images, features, name=name)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: images.shape[-1]})
        self.backbone = backbone
        self.pool = pool
        self.num_prefix_tokens = num_prefix_tokens

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "input_shape": self.input_shape[1:],
            "pool": self.pool,
            "num_prefix_tokens": self.num_prefix_tokens,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "AdaptedEncoder":
        """Returns an encoder around a backbone of the same shape with fresh weights."""
        config = dict(config)
        trainable = config.pop("trainable", True)
        config["backbone"] = keras.saving.deserialize_keras_object(config["backbone"], custom_objects)
        model = cls(**config)
        model.trainable = trainable
        return model


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
    if not isinstance(backbone, keras.Model):
        raise ValueError(f"adapt needs a built keras.Model as backbone; got {backbone!r}.")
    if isinstance(getattr(backbone, "backbone", None), keras.Model):
        raise ValueError(
            f"{type(backbone).__name__} is a task model around a backbone: pass its `.backbone` to adapt."
        )
    if getattr(backbone, "data_format", "channels_last") == "channels_first":
        raise ValueError(f'{backbone.name} takes channels first: make it with data_format="channels_last".')
    inputs = getattr(backbone, "input", None)
    if isinstance(inputs, dict | list) and len(inputs) > 1:
        raise ValueError(f"{backbone.name} has {len(inputs)} inputs: adapt needs one that takes images only.")
    last = backbone.layers[-1] if backbone.layers else None
    softmax = getattr(last, "activation", None) is keras.activations.softmax
    if last is not None and (softmax or isinstance(last, layers.Softmax) or last.name == "predictions"):
        raise ValueError(
            f"{backbone.name} ends in the classification layer {last.name!r}: make it with include_top=False."
        )
    for layer in _layers_before_weights(backbone):
        if isinstance(layer, layers.Rescaling | layers.Normalization):
            raise ValueError(
                f"{backbone.name} rescales its input itself (layer {layer.name!r}), but the views already "
                "emit normalized images: make it with include_rescaling=False or "
                "include_preprocessing=False, or take a backbone without such a layer."
            )


def _layers_before_weights(model: keras.Model) -> list[keras.layers.Layer]:
    leading = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            return leading + _layers_before_weights(layer)
        leading.append(layer)
        if layer.weights:
            break
    return leading


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
