"""The parts of an exported network: the encoder within it, and the inputs that it takes."""

from typing import Any

import keras
import numpy as np

from kerassl.views import preprocessing_of


def inner_encoder(network: keras.Model) -> keras.Model:
    """The encoder without preprocessing; the network itself where it holds no other."""
    return next((layer for layer in network.layers if isinstance(layer, keras.Model)), network)


def takes_images(network: keras.Model) -> bool:
    """Whether a network takes one batch of images, `(batch, height, width, channels)`."""
    return len(network.inputs) == 1 and len(network.inputs[0].shape) == 4


def image_size(network: keras.Model) -> tuple[int, int]:
    """Height and width of the images that a network takes; where any, those to which it resizes, else 32."""
    preprocess = preprocessing_of(network)
    own = preprocess.size if preprocess is not None else (32, 32)
    return tuple(given or size for given, size in zip(network.input_shape[1:3], own, strict=True))


def input_structure(network: keras.Model) -> Any:
    """The symbolic input of a model, or several, nested as it takes them.

    Raises:
        ValueError: for a model without known inputs.
    """
    inputs = getattr(network, "inputs", None)
    if inputs:
        return inputs[0] if len(inputs) == 1 else network.input
    shape = getattr(network, "input_shape", None)
    if isinstance(shape, tuple) and all(side is None or isinstance(side, int) for side in shape):
        return keras.KerasTensor(shape, "float32", name="inputs")
    raise ValueError(
        f"{network.name} has no known inputs: it is a {type(network).__name__} without inputs. Make "
        "it functional, keras.Model(inputs, outputs), or give it the attribute input_shape."
    )


def sample_inputs(network: keras.Model, batch: int = 2) -> Any:
    """Zeros as inputs of a functional network: an array, or several, nested; open sides are 32 long."""

    def zeros(part: keras.KerasTensor) -> np.ndarray:
        sides = image_size(network) if takes_images(network) else part.shape[1:-1]
        sides = (*(side or 32 for side in sides), *(part.shape[-1:] if len(part.shape) > 1 else ()))
        return np.zeros((batch, *(side or 32 for side in sides)), part.dtype)

    return keras.tree.map_structure(zeros, input_structure(network))
