"""Small pictures of images with any number of channels."""

from collections.abc import Sequence

import numpy as np

# Height of a line of words in pixels.
_LINE = 13


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


# Blue, white, red: low, middle and high of a heat map; white also separates them in print.
_HEAT = np.array([(49, 84, 183), (245, 245, 245), (196, 32, 32)], "float32")


def heated(image: np.ndarray, map_: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """A uint8 picture `(size, size, 3)` under a heat map: blue where the map is low, red where it is high.

    Args:
        image: the picture.
        map_: `(rows, columns)` numbers; a map that is the same everywhere leaves the picture as it is.
        strength: share of the color.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.pictures import heated
        >>> heated(np.zeros((2, 2, 3), "uint8"), np.array([[0.0, 1.0]]), strength=1.0)[0].tolist()
        [[49, 84, 183], [196, 32, 32]]
    """
    low, high = float(map_.min()), float(map_.max())
    if not high > low:
        return image
    heat = 2 * (np.asarray(map_, "float32") - low) / (high - low)
    rows, columns = (np.arange(image.shape[i]) * heat.shape[i] // image.shape[i] for i in (0, 1))
    heat = heat[rows][:, columns, None]
    color = np.where(
        heat < 1, _HEAT[0] + heat * (_HEAT[1] - _HEAT[0]), _HEAT[1] + (heat - 1) * (_HEAT[2] - _HEAT[1])
    )
    return ((1 - strength) * image + strength * color).round().astype("uint8")


def captioned(picture: np.ndarray, words: Sequence[str], lines: int | None = None) -> np.ndarray:
    """A uint8 picture `(height, width, 3)` above lines of words on white, shortened to its width.

    Args:
        picture: the picture that the caption describes.
        words: a line each.
        lines: room for so many; by default for all.

    Raises:
        ImportError: if Pillow is missing.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.pictures import captioned
        >>> captioned(np.zeros((64, 96, 3), "uint8"), ["cat", "similarity 0.93"]).shape
        (94, 96, 3)
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImportError('Words in pictures need Pillow: pip install "kerassl[data]"') from error
    lines, width = len(words) if lines is None else lines, picture.shape[1]
    below = Image.new("RGB", (width, _LINE * lines + 4), "white")
    draw, font = ImageDraw.Draw(below), ImageFont.load_default(size=11)
    for row, text in enumerate(words):
        # Of names that are no text the rest is shown in escapes.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        shown = text
        while shown and draw.textlength(shown + "…" * (shown != text), font) > width - 4:
            shown = shown[:-1]
        draw.text((2, 2 + _LINE * row), shown + "…" * (shown != text), (30, 30, 30), font)
    return np.concatenate([picture, np.asarray(below)])
