"""The network of ScatSimCLR: scattering coefficients, then residual blocks without strides."""

import keras
from keras import layers

from kerassl.arguments import Literal, PositiveInt, checked
from kerassl.backbones.naming import unique_name
from kerassl.backbones.resnet import basic_block, check_image_shape
from kerassl.backbones.scattering import Scattering
from kerassl.engine import batch_norm

# Of each number of blocks: channels of the first convolution, then (blocks, channels) of each stage, in
# parts of the last stage's.
_STAGES = {
    8: (1 / 4, ((4, 1 / 2), (4, 1))),
    12: (2, ((4, 1), (4, 1 / 2), (4, 1))),
    16: (2, ((6, 1), (4, 1 / 2), (6, 1))),
    30: (2, ((30, 1),)),
    45: (2, ((15, 1), (15, 1 / 2), (15, 1))),
}


@checked
def scatnet(
    input_shape: tuple,
    num_blocks: Literal[8, 12, 16, 30, 45] = 8,
    num_scales: PositiveInt = 2,
    num_orientations: PositiveInt = 16,
    width: PositiveInt = 128,
    name: str | None = None,
) -> keras.Model:
    """A residual network on scattering coefficients, from images to `(batch, 16 * width)` features.

    "ScatSimCLR", arXiv 2108.13939; the sizes are those of vkinakh/scatsimclr,
    `src/models/scatnet_simclr.py`. All blocks work at 1 / 2^J of the images' size; the last map is averaged
    to 4 x 4 places (fewer where it has fewer), whose features are concatenated. Coefficients of different
    orders differ by orders of magnitude, so they go through a batch norm first, which the official code
    defines but does not use.

    Args:
        input_shape: (height, width, channels) in pixels, fixed: more than 2^J each.
        num_blocks: residual blocks: 8, 12, 16, 30 or 45.
        num_scales: J of the scattering.
        num_orientations: L of the scattering; its cost grows with the square.
        width: channels of the last blocks, a multiple of 4.
        name: name of the model.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: for another number of blocks, a width that is not a multiple of 4, or images that are
            too small.

    Example:
        >>> from kerassl.backbones import scatnet
        >>> scatnet((16, 16, 1), num_orientations=4, width=8).output_shape
        (None, 128)
    """
    check_image_shape(input_shape)
    if width % 4:
        raise ValueError(f"width must be a multiple of 4; got {width}.")
    stem, stages = _STAGES[num_blocks]
    name = name or unique_name("scatnet")
    with keras.name_scope(name):
        images = keras.Input(tuple(input_shape), name="images")
        x = Scattering(num_scales, num_orientations, name="scattering")(images)
        x = batch_norm(name="scattering_norm")(x)
        x = layers.Conv2D(
            int(stem * width),
            3,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            kernel_initializer="he_normal",
            name="stem_conv",
        )(x)
        x = layers.Activation("relu", name="stem_relu")(batch_norm(name="stem_norm")(x))
        for stage, (blocks, share) in enumerate(stages, start=1):
            for block in range(1, blocks + 1):
                x = basic_block(x, int(share * width), 1, "ones", None, f"stage{stage}_block{block}")
        places = tuple(min(4, size) for size in x.shape[1:3])
        x = layers.AdaptiveAveragePooling2D(places, data_format="channels_last", name="pool")(x)
        features = layers.Flatten(data_format="channels_last", name="features")(x)
    return keras.Model(images, features, name=name)
