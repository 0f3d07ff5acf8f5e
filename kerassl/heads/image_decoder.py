"""A small convolutional decoder: from a vector to the image that it stands for."""

import keras
from keras import layers

from kerassl.arguments import PositiveInt, checked

# A decoder's first map has at most this side.
FIRST_SIDE = 7


@checked
def image_decoder(
    latent_dim: PositiveInt,
    image_shape: tuple[PositiveInt, PositiveInt, PositiveInt],
    width: PositiveInt = 32,
    name: str = "decoder",
) -> keras.Sequential:
    """A built decoder: a linear layer to a map of at most 7 x 7, which is doubled until it is an image.

    Each doubling repeats pixels and is followed by a 3 x 3 convolution and a ReLU; the last convolution is
    linear. What goes beyond the image is cut off.

    Args:
        latent_dim: width of the vectors.
        image_shape: (height, width, channels) of the images.
        width: channels of all maps but the image.
        name: name of the decoder, the prefix of its variable paths.

    Returns:
        A `keras.Sequential` from `(batch, latent_dim)` to `(batch, height, width, channels)`.

    Raises:
        ValueError: for a width below 1, or images of unknown size.

    Example:
        >>> from kerassl.heads import image_decoder
        >>> image_decoder(10, (28, 30, 3)).output_shape
        (None, 28, 30, 3)
    """
    sides, channels = image_shape[:2], image_shape[2]
    doublings = 0
    while max(sides) > FIRST_SIDE * 2**doublings:
        doublings += 1
    rows, columns = (-(-side // 2**doublings) for side in sides)
    beyond = [(0, first * 2**doublings - side) for first, side in zip((rows, columns), sides, strict=True)]

    def convolution(filters: int, activation: str | None = None):
        return layers.Conv2D(filters, 3, padding="same", activation=activation, data_format="channels_last")

    with keras.name_scope(name):
        parts = [
            keras.Input((latent_dim,)),
            layers.Dense(rows * columns * width, activation="relu"),
            layers.Reshape((rows, columns, width)),
        ]
        for _ in range(doublings):
            parts += [layers.UpSampling2D(2, data_format="channels_last"), convolution(width, "relu")]
        parts += [convolution(channels), layers.Cropping2D(beyond, data_format="channels_last")]
        return keras.Sequential(parts, name=name)
