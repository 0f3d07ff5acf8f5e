"""The scattering transform: fixed wavelets, moduli and averages instead of a network's first layers.

Mallat, "Group Invariant Scattering", 2012, arXiv 1101.2286; Bruna and Mallat, "Invariant Scattering
Convolution Networks", 2013, arXiv 1203.1513. Filters, padding and order of the coefficients are those of
kymatio/kymatio (`kymatio/scattering2d`), the reference. Convolutions are products with matrices of the
discrete Fourier transform, in real numbers: they run compiled on every backend.
"""

import functools
import math

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.arguments import PositiveInt, RemembersArguments


@keras.saving.register_keras_serializable("kerassl")
class Scattering(RemembersArguments, keras.layers.Layer):
    """Scattering coefficients of orders 0 to 2 of each channel; the layer has no trained weights.

    With the Morlet wavelets psi of scale j and orientation t, and the Gaussian phi of scale J, these are
    `x * phi`, `|x * psi_jt| * phi` and `||x * psi_jt| * psi_j't'| * phi` for j' > j, where * convolves, at
    every 2^J-th pixel. Images are reflected at their borders. Computed in float32 under any policy.

    Args:
        num_scales: J, at least 1.
        num_orientations: L, at least 1.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: for a number below 1, or images that are too small.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import Scattering
        >>> tuple(Scattering(num_scales=2, num_orientations=4)(np.zeros((1, 16, 16, 3))).shape)
        (1, 4, 4, 75)
    """

    def __init__(self, num_scales: PositiveInt = 2, num_orientations: PositiveInt = 16, **kwargs) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_scales, self.num_orientations = num_scales, num_orientations

    @property
    def num_paths(self) -> int:
        """Coefficients of a channel at a place: 1 + J L + J (J - 1) / 2 L^2."""
        scales, orientations = self.num_scales, self.num_orientations
        return 1 + scales * orientations + scales * (scales - 1) // 2 * orientations**2

    def build(self, input_shape: tuple) -> None:
        """Checks the size of the images."""
        for size in input_shape[1:3]:
            padded_size(size, self.num_scales)
        self.built = True

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape `(batch, height / 2^J, width / 2^J, channels * num_paths)`, rounded down."""
        batch, height, width, channels = input_shape
        step = 2**self.num_scales
        return batch, height // step, width // step, channels * self.num_paths

    def call(self, images: KerasTensor) -> KerasTensor:
        """Coefficients of `(batch, height, width, channels)` images.

        Returns:
            `(batch, height / 2^J, width / 2^J, channels * num_paths)`: all of the first channel, then all
            of the next; in each by order, then by scale and orientation of the first wavelet, then of the
            second.
        """
        x = ops.transpose(images, (0, 3, 1, 2))[:, :, None]
        batch, channels, _, *size = ops.shape(x)
        grid = _Grid(*size, num_scales=self.num_scales)
        first, second = [grid.average(x, None)], []
        spectrum = grid.spectrum(x, None)
        for scale in range(self.num_scales):
            moduli = self._moduli(grid, spectrum, 0, scale)
            first.append(grid.average(moduli, scale))
            if scale + 1 == self.num_scales:
                continue

            # One first wavelet at a time: all paths at once would not fit into memory.
            def of_one(modulus: KerasTensor, scale: int = scale):
                spectrum = grid.spectrum(modulus[:, :, None], scale)
                paths = [
                    grid.average(self._moduli(grid, spectrum, scale, later), later)
                    for later in range(scale + 1, self.num_scales)
                ]
                return ops.concatenate(paths, axis=2)

            paths = ops.map(of_one, ops.transpose(moduli, (2, 0, 1, 3, 4)))
            paths = ops.transpose(paths, (1, 2, 0, 3, 4, 5))
            second.append(ops.reshape(paths, (batch, channels, -1, *ops.shape(paths)[-2:])))
        coefficients = ops.concatenate(first + second, axis=2)
        rows, columns = ops.shape(coefficients)[-2:]
        coefficients = ops.reshape(coefficients, (batch, channels * self.num_paths, rows, columns))
        return ops.transpose(coefficients, (0, 2, 3, 1))

    def _moduli(self, grid: "_Grid", spectrum: KerasTensor, level: int, scale: int) -> KerasTensor:
        """`(batch, channels, orientations, rows, columns)` moduli at every 2^scale-th pixel."""
        filters = wavelets(*grid.padded, scale, self.num_orientations, level).astype("float32")
        return grid.modulus(spectrum * ops.convert_to_tensor(filters[:, :, None]), level, scale)


class _Grid:
    """Fourier transforms and averages of images of one size, as products with matrices on either side.

    At level l the pixels are 2^l apart; `None` stands for images before the padding. Tensors are
    `(batch, channels, n, rows, columns)`, spectra `(batch, channels, n, rows, 2, columns)` with real and
    imaginary parts side by side.
    """

    def __init__(self, height: int, width: int, num_scales: int) -> None:
        self.size, self.num_scales = (height, width), num_scales
        self.padded = tuple(padded_size(n, num_scales) for n in self.size)

    def spectrum(self, x: KerasTensor, level: int | None) -> KerasTensor:
        """The Fourier transform of real `x`."""
        rows, columns = (fourier_matrix(n, self.num_scales, level) for n in self.size)
        z = ops.matmul(rows.T, ops.matmul(x, columns))
        height, width = rows.shape[1] // 2, columns.shape[1] // 2
        cosine, sine = z[..., :height, :], z[..., height:, :]
        real = cosine[..., :width] - sine[..., width:]
        imaginary = -cosine[..., width:] - sine[..., :width]
        return ops.stack([real, imaginary], axis=-2)

    def modulus(self, spectrum: KerasTensor, level: int, scale: int) -> KerasTensor:
        """The modulus, at level `scale`, of a signal with a given spectrum at `level`."""
        rows, columns = (inverse_fourier_matrix(n >> level, scale - level) for n in self.padded)
        *batch, height, _, width = ops.shape(spectrum)
        z = ops.matmul(ops.reshape(spectrum, (*batch, height, 2 * width)), columns)
        z = ops.reshape(z, (*batch, height, 2, columns.shape[1] // 2))
        z = ops.reshape(ops.swapaxes(z, -3, -2), (*batch, 2 * height, columns.shape[1] // 2))
        squared = ops.square(ops.matmul(rows.T, z))
        squared = squared[..., : rows.shape[1] // 2, :] + squared[..., rows.shape[1] // 2 :, :]
        # A root whose gradient at zero is finite.
        return ops.where(squared > 0, ops.sqrt(ops.where(squared > 0, squared, 1.0)), 0.0)

    def average(self, x: KerasTensor, level: int | None) -> KerasTensor:
        """`x` convolved with phi, at every 2^J-th pixel, without the padding."""
        rows, columns = (average_matrix(n, self.num_scales, level) for n in self.size)
        return ops.matmul(ops.matmul(rows, x), columns.T)


def padded_size(size: int | None, num_scales: int) -> int:
    """Pixels of an axis with its padding, which 2^J divides.

    Raises:
        ValueError: if the padding is longer than the axis, or its length unknown.
    """
    step = 2**num_scales
    if not isinstance(size, int) or size <= step:
        raise ValueError(
            f"Scattering with num_scales={num_scales} needs images of a known size, more than {step} pixels "
            f"along each axis; got {size}."
        )
    return ((size + step) // step + 1) * step


def padding_matrix(size: int, num_scales: int) -> np.ndarray:
    """`(padded, size)`: reflects an axis at its ends without repeating them."""
    missing = padded_size(size, num_scales) - size
    return np.eye(size)[np.pad(np.arange(size), (missing // 2, missing - missing // 2), mode="reflect")]


@functools.cache
def fourier_matrix(size: int, num_scales: int, level: int | None) -> np.ndarray:
    """`(pixels, 2 * frequencies)`: cosines, then sines, that a row of pixels is multiplied by."""
    pixels = padded_size(size, num_scales) >> (level or 0)
    angles = 2 * np.pi / pixels * np.outer(np.arange(pixels), np.arange(pixels))
    matrix = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return (padding_matrix(size, num_scales).T @ matrix if level is None else matrix).astype("float32")


@functools.cache
def inverse_fourier_matrix(frequencies: int, levels: int) -> np.ndarray:
    """`(2 * frequencies, 2 * pixels)`: from real and imaginary parts to those of every 2^levels-th pixel."""
    angles = 2 * np.pi / frequencies * np.outer(np.arange(frequencies), np.arange(0, frequencies, 2**levels))
    cosine, sine = np.cos(angles) / frequencies, np.sin(angles) / frequencies
    return np.block([[cosine, sine], [-sine, cosine]]).astype("float32")


@functools.cache
def average_matrix(size: int, num_scales: int, level: int | None) -> np.ndarray:
    """`(places, pixels)`: convolves with phi and keeps every 2^J-th pixel, without the padding."""
    spectrum = at_level(low_pass(padded_size(size, num_scales), 0.8 * 2 ** (num_scales - 1)), level or 0)
    kernel = np.fft.ifft(spectrum).real
    places = np.arange(0, len(kernel), 2 ** (num_scales - (level or 0)))[1:-1]
    matrix = kernel[(places[:, None] - np.arange(len(kernel))) % len(kernel)]
    return (matrix @ padding_matrix(size, num_scales) if level is None else matrix).astype("float32")


def low_pass(size: int, sigma: float) -> np.ndarray:
    """`(size,)` Fourier transform of a periodic Gaussian along one axis, whose sum is about one."""
    places = np.arange(size)[:, None] + size * np.arange(-2, 3)
    gaussian = np.exp(-(places**2) / (2 * sigma**2)).sum(axis=1) / (math.sqrt(2 * np.pi) * sigma)
    return np.fft.fft(gaussian).real


def at_level(spectrum: np.ndarray, level: int) -> np.ndarray:
    """The low frequencies of a spectrum, all that pixels 2^level apart can tell; along every axis."""
    for axis, size in enumerate(spectrum.shape):
        kept, positive = size >> level, size >> (level + 1)
        index = np.r_[0:positive, size - (kept - positive) : size] if level else np.arange(size)
        spectrum = np.take(spectrum, index, axis=axis)
    return spectrum


@functools.lru_cache(maxsize=32)
def wavelets(height: int, width: int, scale: int, num_orientations: int, level: int = 0) -> np.ndarray:
    """Fourier transforms of periodic Morlet wavelets: real, zero mean, elongated across their oscillation.

    `psi(u) = g(u) (exp(i <xi, u>) - beta)` with a Gaussian g of width 0.8 * 2^scale along xi and L / 4 times
    that across it, |xi| = 3 pi / 4 / 2^scale, and beta such that the mean is zero.

    Args:
        height: pixels of the padded images.
        width: pixels of the padded images.
        scale: j, from 0.
        num_orientations: L; orientation t is at the angle (int(L / 2 - 1) - t) pi / L.
        level: of the pixels, which are 2^level apart.

    Returns:
        float64 `(num_orientations, height / 2^level, width / 2^level)`.
    """
    sigma, frequency, slant = 0.8 * 2**scale, 0.75 * np.pi / 2**scale, 4 / num_orientations
    offsets = np.arange(-2, 3)
    y = (np.arange(height)[:, None] + height * offsets).reshape(-1, 1)
    x = (np.arange(width)[:, None] + width * offsets).reshape(1, -1)
    filters = []
    for orientation in range(num_orientations):
        angle = (int(num_orientations / 2 - 1) - orientation) * np.pi / num_orientations
        along = y * np.cos(angle) + x * np.sin(angle)
        across = x * np.cos(angle) - y * np.sin(angle)
        envelope = np.exp(-(along**2 + (slant * across) ** 2) / (2 * sigma**2))
        envelope *= slant / (2 * np.pi * sigma**2)
        # Summed over the periods.
        gabor, gaussian = (
            values.reshape(height, 5, width, 5).sum(axis=(1, 3))
            for values in (envelope * np.exp(1j * frequency * along), envelope)
        )
        morlet = gabor - gabor.sum() / gaussian.sum() * gaussian
        filters.append(at_level(np.fft.fft2(morlet).real, level))
    return np.stack(filters)
