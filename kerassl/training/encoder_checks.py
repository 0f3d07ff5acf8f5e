"""What a method makes of the encoder that it is given, and what it refuses."""

from typing import Any

import keras

from kerassl.backbones.checks import check_no_top, inner_encoder
from kerassl.backbones.feature_maps import feature_dim
from kerassl.views import Preprocess, preprocessing_of
from kerassl.views.image.preprocess import numbers_per_channel


def without_preprocessing(encoder: Any) -> Any:
    """The encoder within one that `export_encoder` wrote, which resizes and normalizes raw images itself.

    The views do that in training, so the encoder gets the statistics as the attributes `input_mean`,
    `input_std` and `input_value_range`, which default views read.

    Args:
        encoder: what a constructor was given.

    Returns:
        The inner encoder, its weights shared; what is not exported as it is.

    Raises:
        ValueError: for an exported classifier.
    """
    preprocess = _own_preprocessing(encoder)
    if preprocess is None:
        return encoder
    check_no_top(encoder)
    inner = inner_encoder(encoder)
    channels, normalize = inner.input_shape[-1], preprocess.normalize
    inner.input_mean = numbers_per_channel("mean", normalize.mean, channels)
    inner.input_std = numbers_per_channel("std", normalize.std, channels)
    inner.input_value_range = preprocess.value_range
    return inner


def split_preprocessing(network: keras.Model) -> tuple[keras.Model, Preprocess | None]:
    """An exported network without its preprocessing and its softmax, and the preprocessing.

    Args:
        network: what `export_encoder` or `export_classifier` wrote; any other has no preprocessing.
    """
    preprocess = _own_preprocessing(network)
    if preprocess is None:
        return network, None
    last = network.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(preprocess.output, last.input, name=network.name), preprocess
    return inner_encoder(network), preprocess


def check_encoder(encoder: Any) -> int:
    """Returns the width of an encoder's features.

    Raises:
        ValueError: for what is no encoder; says what to pass instead.
    """
    if _is_method(encoder):
        raise ValueError(
            f"The encoder is a {type(encoder).__name__}, which is itself a model of kerassl: pass its "
            "encoder, model.encoder."
        )
    dim = feature_dim(encoder)
    check_no_top(encoder)
    return dim


def check_channels(model: Any, inputs: Any) -> None:
    """Raises a ValueError for images of another number of channels than the encoder's.

    Args:
        model: an `SSLModel`; where its views make something else of raw inputs than images, nothing is
            checked.
        inputs: raw images `(batch, height, width, channels)`, or a tuple of ready views, of which the
            first is looked at.
    """
    if model.views is None and isinstance(inputs, (tuple, list)) and len(inputs):
        inputs = inputs[0]
    elif model.image_preprocess is None:
        return
    encoder_shape, shape = getattr(model.encoder, "input_shape", None), getattr(inputs, "shape", ())
    if not isinstance(encoder_shape, tuple) or len(encoder_shape) != 4 or len(shape) != 4:
        return
    needed, got = encoder_shape[-1], shape[-1]
    if needed is None or got is None or got == needed:
        return
    if shape[1] == needed:
        mend = "put the channels last, np.moveaxis(images, 1, -1)"
    elif got == 1:
        mend = f"repeat the channel, np.repeat(images, {needed}, axis=-1)"
    elif needed == 1:
        mend = "average the channels, images.mean(axis=-1, keepdims=True)"
    else:
        mend = f"leave out the others, such as transparency, by images[..., :{needed}]"
    raise ValueError(
        f"The images have {got} channels (shape {tuple(shape)}), but {model.encoder.name} takes {needed}: "
        f"{mend}, or make the encoder for {got} channels."
    )


def _own_preprocessing(network: Any) -> Preprocess | None:
    if not isinstance(network, keras.Model) or _is_method(network) or inner_encoder(network) is network:
        return None
    return preprocessing_of(network)


def _is_method(network: Any) -> bool:
    return hasattr(network, "loss_terms")
