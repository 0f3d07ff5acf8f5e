"""Images of pretext tasks: how they were turned, in which order their colors or pieces come."""

import itertools

import numpy as np
from keras import KerasTensor, ops

from kerassl.views.image.resample import from_scanlines, interpolation_matrix, resample, to_scanlines


def quarter_turns(images: KerasTensor) -> KerasTensor:
    """Each image turned clockwise by 0, 90, 180 and 270 degrees.

    Args:
        images: `(batch, size, size, channels)`.

    Returns:
        `(batch, 4, size, size, channels)`.

    Raises:
        ValueError: if the images are not square.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import quarter_turns
        >>> image = np.array([[1, 2], [3, 4]])[None, :, :, None]
        >>> [np.array(turned).ravel().tolist() for turned in quarter_turns(image)[0]]
        [[1, 2, 3, 4], [3, 1, 4, 2], [4, 3, 2, 1], [2, 4, 1, 3]]
    """
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"Only square images can be turned by 90 degrees; these have shape {images.shape}.")
    across = ops.transpose(images, (0, 2, 1, 3))
    turns = (images, ops.flip(across, axis=2), ops.flip(images, axis=(1, 2)), ops.flip(across, axis=1))
    return ops.stack(turns, axis=1)


def color_permutations(images: KerasTensor) -> KerasTensor:
    """Each image with its three channels in all six orders, as they are first.

    Args:
        images: `(batch, height, width, 3)`.

    Returns:
        `(batch, 6, height, width, 3)`, in the order of the permutations 012, 021, 102, 120, 201, 210.

    Raises:
        ValueError: for another number of channels.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import color_permutations
        >>> image = np.array([5, 6, 7])[None, None, None]
        >>> np.array(color_permutations(image)).reshape(6, 3).tolist()
        [[5, 6, 7], [5, 7, 6], [6, 5, 7], [6, 7, 5], [7, 5, 6], [7, 6, 5]]
    """
    if images.shape[-1] != 3:
        raise ValueError(
            f"Colors can be permuted where there are three; these images have {images.shape[-1]}."
        )
    channels = ops.split(images, 3, axis=-1)
    orders = itertools.permutations(range(3))
    return ops.stack([ops.concatenate([channels[i] for i in order], axis=-1) for order in orders], axis=1)


def nine_pieces(images: KerasTensor) -> KerasTensor:
    """The 3 x 3 pieces of each image, row by row, each enlarged to the size of the image.

    No piece sees a pixel of another: interpolation stops at its border.

    Args:
        images: `(batch, height, width, channels)` floats, at least 3 x 3 pixels.

    Returns:
        float32 `(batch, 9, height, width, channels)`.

    Raises:
        ValueError: for images below 3 x 3 pixels.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import nine_pieces
        >>> tuple(nine_pieces(np.zeros((2, 12, 12, 3), "float32")).shape)
        (2, 9, 12, 12, 3)
    """
    batch, height, width, channels = ops.shape(images)
    if min(images.shape[1:3]) < 3:
        raise ValueError(f"Images of shape {tuple(images.shape)} cannot be cut into 3 x 3 pieces.")
    rows, columns = (
        ops.reshape(interpolation_matrix(np.arange(3) * size / 3, size / 3, size, size), (1, 3 * size, size))
        for size in (height, width)
    )
    large = from_scanlines(resample(to_scanlines(images), rows, columns))
    pieces = ops.transpose(ops.reshape(large, (batch, 3, height, 3, width, channels)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(pieces, (batch, 9, height, width, channels))


def distant_permutations(count: int) -> np.ndarray:
    """Orders of nine pieces, any two of which have at most one piece in the same place.

    They are maps `x -> a x + b`, a != 0, of the field of nine elements, whose element m + n i is piece
    3 m + n: of two different ones at most one x has the same image. There are 72.

    Args:
        count: how many, from 1 to 72.

    Returns:
        int32 `(count, 9)`, the first of which is the identity.

    Raises:
        ValueError: for another count.

    Example:
        >>> from kerassl.views import distant_permutations
        >>> distant_permutations(2).tolist()
        [[0, 1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 0, 4, 5, 3, 7, 8, 6]]
    """
    if not 1 <= count <= 72:
        raise ValueError(f"There are 72 permutations of nine pieces that are so far apart, not {count}.")
    x = np.array([complex(m, n) for m in range(3) for n in range(3)])
    # a = 1 first, so that the identity is the first of all.
    factors = [1, *(a for a in x if a not in (0, 1))]
    images = np.array([a * x + b for a in factors for b in x][:count])
    return (3 * (images.real % 3) + images.imag % 3).astype("int32")
