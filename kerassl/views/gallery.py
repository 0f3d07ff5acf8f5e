"""A picture of the views of some images."""

import os

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.views.base import as_tuple
from kerassl.views.image.base import to_unit
from kerassl.views.masked_crops import MaskedCrops
from kerassl.views.masks import MaskedView

MASKED_SHARE = 0.75
MASK_COLOR = 128
TITLE_HEIGHT = 14


def _to_rgb(images: KerasTensor) -> np.ndarray:
    """Returns [0, 1] images of any channel number as uint8 `(batch, height, width, 3)`."""
    channels = images.shape[-1]
    if channels < 3:
        images = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.round(np.clip(images[..., :3], 0, 1) * 255).astype("uint8")


def _hide_patches(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns a copy of square-patched images in which the patches of a mask `(batch, patches)` are gray."""
    sides, patches = images.shape[1:3], mask.shape[1]
    rows = max(1, round((patches * sides[0] / sides[1]) ** 0.5))
    columns = patches // rows
    height, width = sides[0] // rows, sides[1] // max(columns, 1)
    if rows * columns != patches or not height or not width:
        raise ValueError(f"{patches} patches do not form a grid of squares on {sides} pixels.")
    pixels = mask.reshape(-1, rows, 1, columns, 1)
    pixels = np.broadcast_to(pixels, (len(mask), rows, height, columns, width))
    pixels = pixels.reshape(len(mask), rows * height, columns * width, 1)
    return np.where(pixels, np.uint8(MASK_COLOR), images[:, : rows * height, : columns * width])


def gallery(
    images: KerasTensor,
    views: keras.layers.Layer,
    path: str | os.PathLike,
    seed: int = 0,
    num_images: int = 8,
) -> str:
    """Writes a PNG with a row per image: the original, then each of its views, un-normalized.

    One or two channels are shown as gray, of more than three the first three. A `MaskedView` is shown
    whole and with three quarters of its patches hidden, `MaskedCrops` with the patches of their masks hidden.

    Args:
        images: `(batch, height, width, channels)`, on the scale that the views expect.
        views: a layer of views of images, such as `TwoViews`, `MultiCrop` or `MaskedView`, or of one view.
        path: where the PNG is written.
        seed: seed of the draws.
        num_images: rows at most.

    Returns:
        The path, as a string.

    Raises:
        ImportError: if Pillow is missing.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from kerassl.views import gallery, preset
        >>> path = os.path.join(tempfile.mkdtemp(), "views.png")
        >>> gallery(np.zeros((2, 32, 32, 3), "uint8"), preset("simclr_cifar", 32), path) == path
        True
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise ImportError('gallery needs Pillow: pip install "kerassl[data]"') from error

    images = ops.convert_to_tensor(images[:num_images])
    made = views(images, seed=keras.random.SeedGenerator(seed))
    normalize = views.preprocess.normalize
    original = to_unit(images, views.preprocess.value_range)
    columns = [("original", _to_rgb(ops.convert_to_numpy(original)))]
    if isinstance(views, MaskedView):
        view = _to_rgb(ops.convert_to_numpy(normalize.invert(made[0])))
        permutation = ops.convert_to_numpy(made[1])
        hidden = np.argsort(permutation, axis=1) >= int(permutation.shape[1] * (1 - MASKED_SHARE))
        columns += [("view", view), ("masked", _hide_patches(view, hidden))]
    else:
        made = as_tuple(made)
        masks: tuple = ()
        if isinstance(views, MaskedCrops):
            made, masks = made[: views.num_views], made[views.num_views :]
        arrays = [_to_rgb(ops.convert_to_numpy(normalize.invert(view))) for view in made]
        for i, mask in enumerate(masks):
            arrays[i] = _hide_patches(arrays[i], ops.convert_to_numpy(mask))
        columns += [(f"view {i}", view) for i, view in enumerate(arrays, start=1)]

    # Small images are enlarged, all by one factor, so that crops keep their relative size.
    zoom = max(1, 64 // max(view.shape[1] for _, view in columns))
    cell = max(48, zoom * max(max(view.shape[1:3]) for _, view in columns)) + 4
    rows = len(columns[0][1])
    picture = Image.new("RGB", (cell * len(columns), TITLE_HEIGHT + cell * rows), "white")
    draw = ImageDraw.Draw(picture)
    for column, (title, view) in enumerate(columns):
        draw.text((column * cell + 2, 1), title, fill="black")
        for row, pixels in enumerate(view):
            tile = Image.fromarray(np.repeat(np.repeat(pixels, zoom, axis=0), zoom, axis=1))
            picture.paste(tile, (column * cell + 2, TITLE_HEIGHT + row * cell + 2))
    picture.save(path, format="PNG")
    return str(path)
