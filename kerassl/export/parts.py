"""The parts of an exported network: the encoder within it, and the images that it takes."""

import keras

from kerassl.views import preprocessing_of


def inner_encoder(network: keras.Model) -> keras.Model:
    """The encoder without preprocessing; the network itself where it holds no other."""
    return next((layer for layer in network.layers if isinstance(layer, keras.Model)), network)


def image_size(network: keras.Model) -> tuple[int, int]:
    """Height and width of the images that a network takes; where any, those to which it resizes, else 32."""
    preprocess = preprocessing_of(network)
    own = preprocess.size if preprocess is not None else (32, 32)
    return tuple(given or size for given, size in zip(network.input_shape[1:3], own, strict=True))
