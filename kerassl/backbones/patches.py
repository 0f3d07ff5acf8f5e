"""Images to flat patches and back, by reshapes only."""

from keras import KerasTensor, ops


def patchify(images: KerasTensor, patch_size: int) -> KerasTensor:
    """Cuts images into non-overlapping square patches.

    Args:
        images: tensor (batch, height, width, channels), both sizes divisible by `patch_size`.
        patch_size: side of a patch in pixels.

    Returns:
        Tensor (batch, rows * columns, patch_size * patch_size * channels): patches row by row, the
        values of a patch in the order (row, column, channel).

    Raises:
        ValueError: when a side is not divisible by `patch_size`.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import patchify
        >>> tuple(patchify(np.zeros((2, 8, 12, 3), "float32"), 4).shape)
        (2, 6, 48)
    """
    rows, columns = patch_grid(images.shape[1:3], patch_size)
    channels = images.shape[-1]
    x = ops.reshape(images, (-1, rows, patch_size, columns, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * columns, patch_size * patch_size * channels))


def unpatchify(patches: KerasTensor, patch_size: int, grid: tuple[int, int], channels: int) -> KerasTensor:
    """Puts flat patches back into images: the inverse of `patchify`.

    Args:
        patches: tensor (batch, rows * columns, patch_size * patch_size * channels).
        patch_size: side of a patch in pixels.
        grid: (rows, columns) of the patches.
        channels: number of channels of the images.

    Returns:
        Tensor (batch, rows * patch_size, columns * patch_size, channels).

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import unpatchify
        >>> tuple(unpatchify(np.zeros((2, 6, 48), "float32"), 4, (2, 3), 3).shape)
        (2, 8, 12, 3)
    """
    rows, columns = grid
    x = ops.reshape(patches, (-1, rows, columns, patch_size, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * patch_size, columns * patch_size, channels))


def take_patches(patches: KerasTensor, chosen: KerasTensor) -> KerasTensor:
    """Takes some patches of each image.

    Args:
        patches: tensor (batch, num_patches, dim).
        chosen: int32 (batch, n), the patches of each image to take.

    Returns:
        Tensor (batch, n, dim) in the order of `chosen`.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import take_patches
        >>> np.ravel(take_patches(np.array([[[1.0], [2.0], [3.0]]]), np.array([[2, 0]]))).tolist()
        [3.0, 1.0]
    """
    # Whole rows of one matrix: `take_along_axis` looks up every number separately.
    num_patches, dim = patches.shape[1:]
    starts = num_patches * ops.arange(ops.shape(patches)[0], dtype="int32")[:, None]
    rows = ops.reshape(ops.cast(chosen, "int32") + starts, (-1,))
    return ops.reshape(ops.take(ops.reshape(patches, (-1, dim)), rows, axis=0), (-1, chosen.shape[1], dim))


def patch_grid(image_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Returns (rows, columns) of the patches of an image.

    Args:
        image_size: (height, width) in pixels.
        patch_size: side of a patch in pixels.

    Raises:
        ValueError: when a side is unknown or not divisible by `patch_size`.

    Example:
        >>> from kerassl.backbones import patch_grid
        >>> patch_grid((8, 12), 4)
        (2, 3)
    """
    height, width = image_size
    if not height or not width:
        raise ValueError(
            f"Patches need images of a known size, not height {height} and width {width}; "
            "resize them, or declare the size in the input signature."
        )
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"Images of {height}x{width} pixels cannot be cut into patches of {patch_size}x{patch_size}: "
            f"resize them to multiples of {patch_size}, such as {-(-height // patch_size) * patch_size}x"
            f"{-(-width // patch_size) * patch_size}, or take another patch_size."
        )
    return height // patch_size, width // patch_size
