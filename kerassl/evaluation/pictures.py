"""Small pictures of images with any number of channels."""

from collections.abc import Sequence

import numpy as np


def thumbnail(image: np.ndarray, size: int) -> np.ndarray:
    """An image in [0, 255] as uint8 `(size, size, 3)`: gray for one or two channels, else the first three."""
    image = np.asarray(image, "float32")
    if image.shape[-1] < 3:
        image = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    return resized(image[..., :3], size)


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """An image in [0, 255] as uint8 `(size, size, channels)`, each pixel the mean of the area it covers."""

    def shares(side: int):
        edges = np.arange(size + 1) * side / size
        pixels = np.arange(side)
        covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return np.maximum(covered, 0) * size / side

    rows, columns = (shares(side) for side in image.shape[:2])
    made = np.einsum("ih,jw,hwc->ijc", rows, columns, image, optimize=True)
    return np.clip(made, 0, 255).round().astype("uint8")


def tiles(images: Sequence[np.ndarray], columns: int, size: int = 48, gap: int = 2) -> np.ndarray:
    """Images side by side, row by row, on white: uint8 `(height, width, 3)`.

    Args:
        images: `(height, width, channels)` each, uint8 or float in [0, 255].
        columns: images in a row.
        size: side of each image in pixels.
        gap: pixels between them.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.pictures import tiles
        >>> tiles([np.zeros((8, 8, 1))] * 3, columns=2, size=16, gap=1).shape
        (33, 33, 3)
    """
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (size + gap) - gap, columns * (size + gap) - gap, 3), 255, "uint8")
    for index, image in enumerate(images):
        top, left = (index // columns) * (size + gap), (index % columns) * (size + gap)
        sheet[top : top + size, left : left + size] = thumbnail(image, size)
    return sheet
