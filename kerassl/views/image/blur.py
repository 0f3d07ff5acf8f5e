"""Gaussian blur with one sigma per image, as a matrix for the rows and one for the columns."""

from typing import NamedTuple

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.arguments import check_value
from kerassl.views.base import bernoulli, check_probability, check_range, uniform
from kerassl.views.image.base import Augmentation
from kerassl.views.image.resample import from_scanlines, resample, tiles, to_scanlines


def check_kernel_size(kernel_size: int | None, name: str = "kernel_size") -> int | None:
    """Returns `kernel_size` if it is odd, positive or `None`, and raises `ValueError` otherwise."""
    check_value(name, kernel_size, int | None)
    if kernel_size is not None and (kernel_size < 1 or kernel_size % 2 == 0):
        raise ValueError(f"{name} must be odd and positive, or None; got {kernel_size}.")
    return kernel_size


def kernel_radius(size: int, kernel_size: int | None = None) -> int:
    """Pixels that the blur kernel reaches to either side; by default a twentieth of the image, as SimCLR's.

    Args:
        size: length of the image's axis in pixels.
        kernel_size: odd length of the kernel in pixels, or `None`.
    """
    radius = max(1, size // 10 // 2) if kernel_size is None else kernel_size // 2
    if radius >= size:
        raise ValueError(
            f"A blur kernel of {2 * radius + 1} pixels needs an image of at least {radius + 1}; got {size}."
        )
    return radius


def reflected_taps(size: int, radius: int) -> np.ndarray:
    """`(radius + 1, size * size)` counts: how often tap k of output i falls on input j, edges reflected."""
    counts = np.zeros((radius + 1, size, size), "float32")
    outputs = np.arange(size)
    for shift in range(-radius, radius + 1):
        inputs = np.abs(outputs + shift)
        inputs = np.where(inputs < size, inputs, 2 * (size - 1) - inputs)
        counts[abs(shift), outputs, inputs] += 1
    return counts.reshape(radius + 1, size * size)


class Blur(NamedTuple):
    """The blur of each image: standard deviations in pixels, which images have it, and the kernel's size."""

    sigma: KerasTensor
    blurred: KerasTensor | None
    kernel_size: int | None


def random_blur(
    seed: keras.random.SeedGenerator,
    batch: int | KerasTensor,
    probability: float,
    sigma: tuple[float, float],
    kernel_size: int | None = None,
) -> Blur:
    """Draws a sigma per image, and which images are blurred."""
    drawn = uniform(seed, (batch,), *sigma)
    return Blur(drawn, bernoulli(seed, batch, probability) if probability < 1 else None, kernel_size)


def tap_weights(blur: Blur, size: int) -> KerasTensor:
    """A truncated and renormalized Gaussian by distance, `(batch, radius + 1)`."""
    distance = ops.arange(kernel_radius(size, blur.kernel_size) + 1, dtype="float32")
    weight = ops.exp(-(distance**2) / (2.0 * blur.sigma[:, None] ** 2))
    if blur.blurred is not None:
        weight = ops.where(blur.blurred[:, None], weight, ops.cast(distance == 0, "float32"))
    # Every distance but 0 occurs on both sides.
    return weight / ops.sum(weight * (1.0 + ops.cast(distance > 0, "float32")), axis=-1, keepdims=True)


def blur_matrix(blur: Blur, size: int) -> KerasTensor:
    """The matrix `(batch, size, size)` that blurs an axis of `size` pixels, reflected at the edges."""
    taps = reflected_taps(size, kernel_radius(size, blur.kernel_size))
    return ops.reshape(ops.matmul(tap_weights(blur, size), ops.convert_to_tensor(taps)), (-1, size, size))


def blur_bands(blur: Blur, size: int) -> KerasTensor:
    """The same for the tiles of `kerassl.views.image.resample`: `(batch, tiles, TILE, pixels)`.

    Each tile of outputs from the pixels that `tiles(size, margin)` names, with the kernel's radius as margin.
    """
    radius = kernel_radius(size, blur.kernel_size)
    outputs, inputs = tiles(size), tiles(size, radius)
    taps = reflected_taps(size, radius).reshape(-1, size, size)[:, outputs[:, :, None], inputs[:, None, :]]
    flat = ops.convert_to_tensor(taps.reshape(radius + 1, -1))
    return ops.reshape(ops.matmul(tap_weights(blur, size), flat), (-1, *taps.shape[1:]))


@keras.saving.register_keras_serializable("kerassl")
class GaussianBlur(Augmentation):
    """Blurs each image with its own sigma.

    Args:
        probability: in [0, 1].
        sigma: standard deviation in pixels, drawn uniformly from `(low, high)`, 0 < low <= high.
        kernel_size: odd length of the kernel in pixels; `None` is about a tenth of the image, at least 3.
        seed: seed of the layer's own generator.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import GaussianBlur
        >>> tuple(GaussianBlur(probability=0.5)(np.zeros((2, 32, 32, 3), "float32")).shape)
        (2, 32, 32, 3)
    """

    def __init__(
        self,
        probability: float = 0.5,
        sigma: tuple[float, float] = (0.1, 2.0),
        kernel_size: int | None = None,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.probability = check_probability("probability", probability)
        self.sigma = check_range("sigma", sigma)
        self.kernel_size = check_kernel_size(kernel_size)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 images of the input's shape."""
        if not self.probability:
            return images
        blur = random_blur(seed, ops.shape(images)[0], self.probability, self.sigma, self.kernel_size)
        rows, columns = (blur_matrix(blur, size) for size in images.shape[1:3])
        return from_scanlines(resample(to_scanlines(images), rows, columns))

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        keys = ("probability", "sigma", "kernel_size")
        return {**super().get_config(), **{key: getattr(self, key) for key in keys}}
