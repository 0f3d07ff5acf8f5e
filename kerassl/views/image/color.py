"""Color jitter, random grayscale and solarize: one affine map of the channels per image.

Brightness, contrast, saturation, hue and grayscale are affine in the pixel, so their product is one
matrix and one offset, applied in one pass. Against torchvision: the order is fixed (brightness, contrast,
saturation, hue), values are clipped to [0, 1] once, after the last of them, and hue turns the chroma plane
of YIQ instead of HSV. With a channel number other than 3, brightness and contrast work, and saturation, hue
and grayscale do nothing.
"""

import math

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.arguments import check_value
from kerassl.views.base import bernoulli, check_probability, uniform
from kerassl.views.image.base import Augmentation
from kerassl.views.image.resample import from_scanlines, to_scanlines

GRAY = np.array([0.299, 0.587, 0.114])
YIQ = np.array([GRAY, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])

# A turn of the hue by t is LUMA + cos(t) CHROMA + sin(t) TURN: luma stays, (I, Q) rotates. The sign is
# that of HSV: red goes to green.
_INVERSE = np.linalg.inv(YIQ)
LUMA = _INVERSE @ np.diag([1.0, 0.0, 0.0]) @ YIQ
CHROMA = _INVERSE @ np.diag([0.0, 1.0, 1.0]) @ YIQ
TURN = _INVERSE @ np.array([[0.0, 0, 0], [0, 0, 1], [0, -1, 0]]) @ YIQ


def check_jitter(name: str, value: float, high: float = float("inf")) -> float:
    """Returns a jitter strength as a float if it lies in [0, high], and raises `ValueError` otherwise."""
    check_value(name, value, float)
    if not 0 <= value <= high:
        raise ValueError(f"{name} must lie in [0, {high}]; got {value}. 0 turns it off.")
    return float(value)


def random_factors(
    seed: keras.random.SeedGenerator,
    batch: int | KerasTensor,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    probability: float,
) -> dict:
    """Draws `(batch,)` jitter factors, neutral for the samples that the jitter skips.

    Returns:
        `brightness`, `contrast`, `saturation` (factors, 1 is neutral) and `hue` (turns, 0 is neutral);
        a strength of 0 has no entry.
    """
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    bounds = {name: (max(0.0, 1.0 - x), 1.0 + x) for name, x in strengths.items() if x}
    if hue:
        bounds["hue"] = (-hue, hue)
    if not bounds or not probability:
        return {}
    factors = {name: uniform(seed, (batch,), *bound) for name, bound in bounds.items()}
    if probability < 1:
        jittered = bernoulli(seed, batch, probability)
        factors = {n: ops.where(jittered, f, 0.0 if n == "hue" else 1.0) for n, f in factors.items()}
    return factors


def gray_mean(scanlines: KerasTensor) -> KerasTensor:
    """Mean gray value of each image, `(batch,)`; of all channels alike where they are not 3."""
    channel_means = ops.mean(ops.mean(scanlines, axis=1), axis=-1)
    if channel_means.shape[-1] != 3:
        return ops.mean(channel_means, axis=-1)
    return ops.sum(channel_means * ops.convert_to_tensor(GRAY, "float32"), axis=-1)


def color_affine(
    scanlines: KerasTensor,
    brightness: float | KerasTensor = 1.0,
    contrast: float | KerasTensor = 1.0,
    saturation: KerasTensor | None = None,
    hue: KerasTensor | None = None,
    grayscale: KerasTensor | None = None,
) -> tuple[KerasTensor, KerasTensor]:
    """The gain and the offset that apply all color changes to an image.

    contrast: c b x + (1 - c) b mean, with the mean gray of the image; saturation, hue and grayscale act on
    the chroma and leave the luma and the offset alone.

    Args:
        scanlines: `(batch, height, channels, width)`, needed for the mean.
        brightness: `(batch,)` factors.
        contrast: `(batch,)` factors.
        saturation: `(batch,)` factors or `None`.
        hue: `(batch,)` turns or `None`.
        grayscale: `(batch,)` booleans or `None`.

    Returns:
        gain: `(batch, 3, 3)` matrices, or `(batch or 1, 1)` factors where no chroma changes.
        offset: `(batch or 1, 1)`.
    """
    offset = 0.0
    if not isinstance(contrast, float):
        offset = (1.0 - contrast) * brightness * gray_mean(scanlines)
    gain, offset = (
        ops.reshape(ops.convert_to_tensor(v, "float32"), (-1, 1)) for v in (brightness * contrast, offset)
    )
    changes_chroma = any(x is not None for x in (saturation, hue, grayscale))
    if scanlines.shape[2] != 3 or not changes_chroma:
        return gain, offset
    strength = 1.0 if saturation is None else saturation
    if grayscale is not None:
        strength = strength * (1.0 - ops.cast(grayscale, "float32"))
    angle = 0.0 if hue is None else hue * (2.0 * math.pi)
    along, across = (strength * f(angle) for f in (ops.cos, ops.sin))
    luma, chroma, turn = (ops.convert_to_tensor(m, "float32") for m in (LUMA, CHROMA, TURN))
    matrix = luma + ops.reshape(along, (-1, 1, 1)) * chroma + ops.reshape(across, (-1, 1, 1)) * turn
    return gain[..., None] * matrix, offset


def then_scale(
    gain: KerasTensor, offset: KerasTensor, scale: KerasTensor, shift: KerasTensor
) -> tuple[KerasTensor, KerasTensor]:
    """The gain and the offset of an affine map that is followed by y -> scale y + shift, per channel.

    Args:
        gain: as of `color_affine`.
        offset: as of `color_affine`.
        scale: `(channels,)`.
        shift: `(channels,)`.
    """
    return gain * (scale[:, None] if len(gain.shape) == 3 else scale), offset * scale + shift


def apply_affine(scanlines: KerasTensor, gain: KerasTensor, offset: KerasTensor) -> KerasTensor:
    """Applies a gain and an offset to `(batch, height, channels, width)`.

    Args:
        scanlines: `(batch, height, channels, width)`.
        gain: `(batch, channels, channels)` matrices or `(batch or 1, channels or 1)` factors.
        offset: `(batch or 1, channels or 1)`.
    """
    if len(gain.shape) == 3:
        scanlines = ops.matmul(gain[:, None], scanlines)
    else:
        scanlines = scanlines * gain[:, None, :, None]
    return scanlines + offset[:, None, :, None]


def clip_and_solarize(
    x: KerasTensor,
    low: float | KerasTensor,
    high: float | KerasTensor,
    solarized: KerasTensor | None = None,
    threshold: float = 0.5,
) -> KerasTensor:
    """Clips to [low, high] and mirrors the values at or above a threshold for the chosen samples.

    Args:
        x: `(batch, ...)`.
        low: the value of black, broadcastable to `x`.
        high: the value of white, broadcastable to `x`.
        solarized: `(batch,)` booleans, or `None` for none.
        threshold: in [0, 1], from black to white.
    """
    x = ops.minimum(ops.maximum(x, low), high)
    if solarized is None:
        return x
    # Above the white value no pixel is mirrored.
    share = ops.where(solarized, ops.convert_to_tensor(threshold, "float32"), 2.0)
    share = ops.reshape(share, (-1, 1, 1, 1))
    return ops.where(x >= low + share * (high - low), low + high - x, x)


@keras.saving.register_keras_serializable("kerassl")
class ColorJitter(Augmentation):
    """Changes brightness, contrast, saturation and hue of each image at random.

    Factors are drawn as in torchvision, from U(max(0, 1 - x), 1 + x), the hue from U(-hue, hue) turns; see
    the module for what differs. Takes and returns float images in [0, 1].

    Args:
        brightness: strength, >= 0.
        contrast: strength, >= 0.
        saturation: strength, >= 0; needs 3 channels, else it does nothing.
        hue: strength in turns, in [0, 0.5]; needs 3 channels, else it does nothing.
        probability: share of the images that are changed.
        seed: seed of the layer's own generator.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import ColorJitter
        >>> jitter = ColorJitter(0.4, 0.4, 0.4, 0.1, probability=0.8)
        >>> tuple(jitter(np.full((2, 8, 8, 3), 0.5, "float32")).shape)
        (2, 8, 8, 3)
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        probability: float = 1.0,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.brightness = check_jitter("brightness", brightness)
        self.contrast = check_jitter("contrast", contrast)
        self.saturation = check_jitter("saturation", saturation)
        self.hue = check_jitter("hue", hue, 0.5)
        self.probability = check_probability("probability", probability)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 images in [0, 1]."""
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        factors = random_factors(seed, ops.shape(images)[0], *strengths, self.probability)
        if not factors:
            return images
        x = to_scanlines(images)
        x = apply_affine(x, *color_affine(x, **factors))
        return from_scanlines(clip_and_solarize(x, 0.0, 1.0))

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        keys = ("brightness", "contrast", "saturation", "hue", "probability")
        return {**super().get_config(), **{key: getattr(self, key) for key in keys}}


@keras.saving.register_keras_serializable("kerassl")
class RandomGrayscale(Augmentation):
    """Replaces the colors of an image by its gray, 0.299 R + 0.587 G + 0.114 B, and keeps 3 channels.

    Images with another number of channels pass unchanged.

    Args:
        probability: in [0, 1].
        seed: seed of the layer's own generator.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import RandomGrayscale
        >>> red = np.array([1.0, 0.0, 0.0], "float32").reshape(1, 1, 1, 3)
        >>> [round(float(v), 3) for v in RandomGrayscale(1.0)(red)[0, 0, 0]]
        [0.299, 0.299, 0.299]
    """

    def __init__(self, probability: float = 0.2, seed: int | None = None, **kwargs) -> None:
        super().__init__(seed=seed, **kwargs)
        self.probability = check_probability("probability", probability)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 images, some of them gray."""
        if not self.probability or images.shape[-1] != 3:
            return images
        x = to_scanlines(images)
        gray = bernoulli(seed, ops.shape(images)[0], self.probability)
        return from_scanlines(apply_affine(x, *color_affine(x, grayscale=gray)))

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {**super().get_config(), "probability": self.probability}


@keras.saving.register_keras_serializable("kerassl")
class Solarize(Augmentation):
    """Inverts the pixel values at or above a threshold: x -> 1 - x.

    Takes and returns float images in [0, 1].

    Args:
        probability: in [0, 1].
        threshold: in [0, 1]; 0.5 is 128 on bytes.
        seed: seed of the layer's own generator.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import Solarize
        >>> x = np.array([0.25, 0.75, 1.0], "float32").reshape(1, 1, 3, 1)
        >>> [float(value) for value in Solarize(1.0)(x)[0, 0, :, 0]]
        [0.25, 0.25, 0.0]
    """

    def __init__(
        self, probability: float = 0.2, threshold: float = 0.5, seed: int | None = None, **kwargs
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.probability = check_probability("probability", probability)
        self.threshold = check_probability("threshold", threshold)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 images in [0, 1]."""
        if not self.probability:
            return images
        solarized = bernoulli(seed, ops.shape(images)[0], self.probability)
        return clip_and_solarize(ops.cast(images, "float32"), 0.0, 1.0, solarized, self.threshold)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {**super().get_config(), "probability": self.probability, "threshold": self.threshold}
