"""The parts of an exported network: the encoder within it, and the inputs that it takes."""

from typing import Any

import keras
import numpy as np

from kerassl.views import preprocessing_of
from kerassl.views.base import input_structure


def takes_images(network: keras.Model) -> bool:
    """Whether a network takes one batch of images, `(batch, height, width, channels)`."""
    return len(network.inputs) == 1 and len(network.inputs[0].shape) == 4


def image_size(network: keras.Model) -> tuple[int, int]:
    """Height and width of the images that a network takes; where any, those to which it resizes, else 32."""
    preprocess = preprocessing_of(network)
    own = preprocess.size if preprocess is not None else (32, 32)
    height, width = network.input_shape[1:3]
    return height or own[0], width or own[1]


def sample_inputs(network: keras.Model, batch: int = 2) -> Any:
    """Zeros as inputs of a functional network: an array, or several, nested; open sides are 32 long."""

    def zeros(part: keras.KerasTensor) -> np.ndarray:
        sides = image_size(network) if takes_images(network) else part.shape[1:-1]
        sides = (*(side or 32 for side in sides), *(part.shape[-1:] if len(part.shape) > 1 else ()))
        return np.zeros((batch, *(side or 32 for side in sides)), part.dtype)

    return keras.tree.map_structure(zeros, input_structure(network))
