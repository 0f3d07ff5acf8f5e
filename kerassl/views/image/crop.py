"""Random resized crop and horizontal flip."""

from typing import NamedTuple

import keras
from keras import KerasTensor, ops

from kerassl.views.base import bernoulli, check_probability, check_range
from kerassl.views.image.base import Augmentation, check_size
from kerassl.views.image.blur import Blur, blur_bands, blur_matrix, kernel_radius
from kerassl.views.image.resample import (
    check_interpolation,
    from_scanlines,
    interpolation_bands,
    interpolation_matrix,
    pays_in_bands,
    random_boxes,
    resample,
    resample_in_bands,
    to_scanlines,
)


class Crop(NamedTuple):
    """One box of each image, and whether it is mirrored."""

    top: KerasTensor
    left: KerasTensor
    height: KerasTensor
    width: KerasTensor
    mirrored: KerasTensor | None


def random_crop(
    seed: keras.random.SeedGenerator,
    images: KerasTensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    flip: float,
) -> Crop:
    """Draws a crop and a flip per image."""
    batch, height, width, _ = ops.shape(images)
    top, left, box_height, box_width = random_boxes(seed, batch, height, width, scale, ratio)
    return Crop(top, left, box_height, box_width, bernoulli(seed, batch, flip) if flip else None)


def crop_matrices(
    crop: Crop, images: KerasTensor, size: tuple[int, int], interpolation: str
) -> tuple[KerasTensor, KerasTensor]:
    """The row and the column matrix that crop, resize and flip."""
    _, height, width, _ = ops.shape(images)
    rows = interpolation_matrix(crop.top, crop.height, height, size[0], interpolation)
    columns = interpolation_matrix(crop.left, crop.width, width, size[1], interpolation, crop.mirrored)
    return rows, columns


def crop_and_resize(
    crop: Crop,
    images: KerasTensor,
    size: tuple[int, int],
    interpolation: str,
    blur: Blur | None = None,
) -> KerasTensor:
    """Crops, resizes, flips and blurs images (batch, height, width, channels) to scanlines in float32."""
    sides = images.shape[1:3]
    margins = [0 if blur is None else kernel_radius(n, blur.kernel_size) for n in size]
    if all(pays_in_bands(a, b, interpolation, m) for a, b, m in zip(sides, size, margins, strict=True)):
        intervals = (crop.top, crop.height, None), (crop.left, crop.width, crop.mirrored)
        blurs = {n: blur_bands(blur, n) for n in size} if blur is not None else {}
        bands = []
        for (start, length, flip), a, b, margin in zip(intervals, sides, size, margins, strict=True):
            first, weights = interpolation_bands(start, length, a, b, interpolation, flip, margin)
            bands.append((first, ops.matmul(blurs[b], weights) if blurs else weights))
        return resample_in_bands(images, *bands, size=size)
    rows, columns = crop_matrices(crop, images, size, interpolation)
    if blur is not None:
        blurs = {n: blur_matrix(blur, n) for n in size}
        rows, columns = ops.matmul(blurs[size[0]], rows), ops.matmul(blurs[size[1]], columns)
    return resample(to_scanlines(images), rows, columns)


@keras.saving.register_keras_serializable("kerassl")
class RandomResizedCrop(Augmentation):
    """Crops a random box of each image and resizes it; flips it for free.

    torchvision's semantics, antialiased, with boxes placed to a fraction of a pixel. Pixel values keep
    their scale; bicubic interpolation may overshoot it.

    Args:
        size: output height and width in pixels, an integer or a pair.
        scale: share of the image's area, `(low, high)`, 0 < low <= high <= 1.
        ratio: aspect ratio width / height of the box, `(low, high)`.
        flip: probability of mirroring left and right.
        interpolation: "bilinear" or "bicubic".
        seed: seed of the layer's own generator.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import RandomResizedCrop
        >>> crop = RandomResizedCrop(16, scale=(0.2, 1.0))
        >>> tuple(crop(np.zeros((4, 32, 32, 3), "uint8")).shape)
        (4, 16, 16, 3)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.0,
        interpolation: str = "bilinear",
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.size = check_size(size)
        self.scale = check_range("scale", scale, high=1.0)
        self.ratio = check_range("ratio", ratio)
        self.flip = check_probability("flip", flip)
        self.interpolation = check_interpolation(interpolation)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 `(batch, size, size, channels)`."""
        crop = random_crop(seed, images, self.scale, self.ratio, self.flip)
        return from_scanlines(crop_and_resize(crop, images, self.size, self.interpolation))

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        keys = ("size", "scale", "ratio", "flip", "interpolation")
        return {**super().get_config(), **{key: getattr(self, key) for key in keys}}


@keras.saving.register_keras_serializable("kerassl")
class RandomHorizontalFlip(Augmentation):
    """Mirrors each image left and right with probability `probability`.

    Args:
        probability: in [0, 1].
        seed: seed of the layer's own generator.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import RandomHorizontalFlip
        >>> flipped = RandomHorizontalFlip(1.0)(np.arange(3.0).reshape(1, 1, 3, 1))
        >>> [float(value) for value in flipped[0, 0, :, 0]]
        [2.0, 1.0, 0.0]
    """

    def __init__(self, probability: float = 0.5, seed: int | None = None, **kwargs) -> None:
        super().__init__(seed=seed, **kwargs)
        self.probability = check_probability("probability", probability)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns the images, some mirrored, in the input's dtype."""
        if not self.probability:
            return images
        mirrored = bernoulli(seed, ops.shape(images)[0], self.probability)
        return ops.where(mirrored[:, None, None, None], ops.flip(images, axis=2), images)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {**super().get_config(), "probability": self.probability}
