"""Random resized crop and horizontal flip."""

import keras
from keras import KerasTensor, ops

from kerassl.views.base import Augmentation, bernoulli, check_probability, check_range, check_size
from kerassl.views.resample import (
    check_interpolation,
    from_scanlines,
    interpolation_matrix,
    random_boxes,
    resample,
    to_scanlines,
)


def crop_matrices(
    seed: keras.random.SeedGenerator,
    images: KerasTensor,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    flip: float,
    interpolation: str,
) -> tuple[KerasTensor, KerasTensor]:
    """Draws a crop and a flip per image and returns the row and the column matrix that do both."""
    batch, height, width, _ = ops.shape(images)
    top, left, box_height, box_width = random_boxes(seed, batch, height, width, scale, ratio)
    mirrored = bernoulli(seed, batch, flip) if flip else None
    rows = interpolation_matrix(top, box_height, height, size[0], interpolation)
    columns = interpolation_matrix(left, box_width, width, size[1], interpolation, mirrored)
    return rows, columns


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
        rows, columns = crop_matrices(
            seed, images, self.size, self.scale, self.ratio, self.flip, self.interpolation
        )
        return from_scanlines(resample(to_scanlines(images), rows, columns))

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
        """Returns the images, some mirrored, in the dtype that came."""
        if not self.probability:
            return images
        mirrored = bernoulli(seed, ops.shape(images)[0], self.probability)
        return ops.where(mirrored[:, None, None, None], ops.flip(images, axis=2), images)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {**super().get_config(), "probability": self.probability}
