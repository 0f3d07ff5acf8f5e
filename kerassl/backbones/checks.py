"""Checks that a network is an encoder: no classification layer, and no scaling of its own."""

import keras
from keras import layers


def check_no_top(model: keras.Model) -> None:
    """Raises a ValueError for a network that ends in a classification layer.

    Args:
        model: built `keras.Model`.
    """
    last = model.layers[-1] if model.layers else None
    softmax = getattr(last, "activation", None) is keras.activations.softmax
    if last is not None and (softmax or isinstance(last, layers.Softmax) or last.name == "predictions"):
        raise ValueError(
            f"{model.name} ends in the classification layer {last.name!r}: make it with include_top=False, "
            "or leave that layer out, as in keras.Model(model.input, model.layers[-2].output)."
        )


def check_no_rescaling(model: keras.Model) -> None:
    """Raises a ValueError for a network that rescales or normalizes its input before its first weights.

    Args:
        model: built `keras.Model`, which is given images that are normalized already.
    """
    for layer in _layers_before_weights(model):
        if isinstance(layer, layers.Rescaling | layers.Normalization):
            raise ValueError(
                f"{model.name} rescales its input itself (layer {layer.name!r}), but the views already "
                "emit normalized images: make it with include_rescaling=False or "
                "include_preprocessing=False, or take a network without such a layer."
            )


def _layers_before_weights(model: keras.Model) -> list[keras.layers.Layer]:
    leading: list[keras.layers.Layer] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            return leading + _layers_before_weights(layer)
        leading.append(layer)
        if layer.weights:
            break
    return leading


def inner_encoder(network: keras.Model) -> keras.Model:
    """The encoder within an exported network, without its preprocessing; else the network itself."""
    return next((layer for layer in network.layers if isinstance(layer, keras.Model)), network)
