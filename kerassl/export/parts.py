"""The parts of an exported network: its preprocessing and the encoder within it."""

import keras

from kerassl.views import Preprocess


def preprocessing(network: keras.Model) -> Preprocess | None:
    """The layer that resizes and normalises, or `None`."""
    return next((layer for layer in network.layers if isinstance(layer, Preprocess)), None)


def inner_encoder(network: keras.Model) -> keras.Model:
    """The encoder without preprocessing; the network itself where it holds no other."""
    return next((layer for layer in network.layers if isinstance(layer, keras.Model)), network)
