"""Gaussian blur with one sigma per image, as a matrix for the rows and one for the columns."""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.views.base import Augmentation, bernoulli, check_probability, check_range, uniform
from kerassl.views.resample import from_scanlines, resample, to_scanlines


def check_kernel_size(kernel_size: int | None) -> int | None:
    """Returns `kernel_size` if it is odd, positive or `None`, and raises `ValueError` otherwise."""
    if kernel_size is not None and (kernel_size < 1 or kernel_size % 2 == 0):
        raise ValueError(f"The blur kernel_size must be odd and positive, or None; got {kernel_size}.")
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


def blur_matrix(
    sigma: KerasTensor, size: int, kernel_size: int | None = None, blurred: KerasTensor | None = None
) -> KerasTensor:
    """The matrix that blurs an axis, reflected at the edges, with a truncated and renormalised Gaussian.

    Args:
        sigma: `(batch,)` standard deviations in pixels.
        size: length of the axis in pixels.
        kernel_size: odd length of the kernel in pixels, or `None` for about a tenth of the axis.
        blurred: `(batch,)` booleans, the samples to blur, or `None` for all.

    Returns:
        float32 `(batch, size, size)`.
    """
    radius = kernel_radius(size, kernel_size)
    distance = ops.arange(radius + 1, dtype="float32")
    weight = ops.exp(-(distance**2) / (2.0 * sigma[:, None] ** 2))
    if blurred is not None:
        weight = ops.where(blurred[:, None], weight, ops.cast(distance == 0, "float32"))
    # Every distance but 0 occurs on both sides.
    weight = weight / ops.sum(weight * ops.where(distance == 0, 1.0, 2.0), axis=-1, keepdims=True)
    taps = ops.convert_to_tensor(reflected_taps(size, radius))
    return ops.reshape(ops.matmul(weight, taps), (-1, size, size))


def random_blur_matrices(
    seed: keras.random.SeedGenerator,
    batch: int | KerasTensor,
    size: tuple[int, int],
    probability: float,
    sigma: tuple[float, float],
    kernel_size: int | None = None,
) -> tuple[KerasTensor, KerasTensor]:
    """Draws a sigma per image and returns the blur matrices of the rows and the columns."""
    drawn = uniform(seed, (batch,), *sigma)
    blurred = bernoulli(seed, batch, probability) if probability < 1 else None
    rows = blur_matrix(drawn, size[0], kernel_size, blurred)
    return rows, rows if size[0] == size[1] else blur_matrix(drawn, size[1], kernel_size, blurred)


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
        """Returns float32 images of the shape that came."""
        if not self.probability:
            return images
        rows, columns = random_blur_matrices(
            seed, ops.shape(images)[0], images.shape[1:3], self.probability, self.sigma, self.kernel_size
        )
        return from_scanlines(resample(to_scanlines(images), rows, columns))

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        keys = ("probability", "sigma", "kernel_size")
        return {**super().get_config(), **{key: getattr(self, key) for key in keys}}
