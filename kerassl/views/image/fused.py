"""One view of a batch as one fused pipeline."""

import keras
from keras import KerasTensor, ops

from kerassl.views.base import bernoulli, check_probability, check_range
from kerassl.views.image.base import VALUE_RANGE, Augmentation, check_size
from kerassl.views.image.blur import check_kernel_size, random_blur
from kerassl.views.image.color import (
    apply_affine,
    check_jitter,
    clip_and_solarize,
    color_affine,
    random_factors,
    then_scale,
)
from kerassl.views.image.crop import Crop, crop_and_resize, random_crop
from kerassl.views.image.preprocess import Preprocess, Statistic, statistics
from kerassl.views.image.resample import check_interpolation, from_scanlines


@keras.saving.register_keras_serializable("kerassl", name="View")
class FusedAugmentation(Augmentation):
    """Crop, flip, blur, color jitter, grayscale, clip, solarize and normalize, in few passes over memory.

    Raw images in, float32 normalized images out; every sample draws its own parameters. The blur is folded
    into the resampling matrices and all color changes into one matrix: the papers' order (jitter before
    blur) up to the clipping to [0, 1], which happens once, after both.

    Args:
        size: output height and width in pixels, an integer or a pair.
        scale: share of the image's area that is cropped, `(low, high)`.
        ratio: aspect ratio width / height of the crop, `(low, high)`.
        flip: probability of mirroring left and right.
        brightness: jitter strength, factors from U(max(0, 1 - x), 1 + x).
        contrast: the same.
        saturation: the same; needs 3 channels, else it does nothing.
        hue: jitter strength in turns, in [0, 0.5]; needs 3 channels, else it does nothing.
        jitter_probability: share of the images whose colors are jittered.
        grayscale_probability: share of the images that turn gray; needs 3 channels, else it does nothing.
        blur_probability: share of the images that are blurred.
        blur_sigma: standard deviation of the blur in pixels, `(low, high)`.
        blur_kernel_size: odd length of the blur kernel in pixels; `None` is about a tenth of `size`.
        solarize_probability: share of the images that are solarized.
        solarize_threshold: in [0, 1].
        mean: a number or one per channel, for images in [0, 1]; see `Normalize`.
        std: the same.
        interpolation: "bilinear" or "bicubic".
        value_range: values of black and white in raw images.
        seed: seed of the layer's own generator.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import FusedAugmentation
        >>> view = FusedAugmentation(32, scale=(0.2, 1.0), brightness=0.4, blur_probability=0.5)
        >>> tuple(view(np.zeros((4, 48, 48, 3), "uint8")).shape)
        (4, 32, 32, 3)
    """

    num_views = 1

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        jitter_probability: float = 0.8,
        grayscale_probability: float = 0.0,
        blur_probability: float = 0.0,
        blur_sigma: tuple[float, float] = (0.1, 2.0),
        blur_kernel_size: int | None = None,
        solarize_probability: float = 0.0,
        solarize_threshold: float = 0.5,
        mean: Statistic = None,
        std: Statistic = None,
        interpolation: str = "bilinear",
        value_range: tuple[float, float] = VALUE_RANGE,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.size = check_size(size)
        self.scale = check_range("scale", scale, high=1.0)
        self.ratio = check_range("ratio", ratio)
        self.flip = check_probability("flip", flip)
        self.brightness = check_jitter("brightness", brightness)
        self.contrast = check_jitter("contrast", contrast)
        self.saturation = check_jitter("saturation", saturation)
        self.hue = check_jitter("hue", hue, 0.5)
        self.jitter_probability = check_probability("jitter_probability", jitter_probability)
        self.grayscale_probability = check_probability("grayscale_probability", grayscale_probability)
        self.blur_probability = check_probability("blur_probability", blur_probability)
        self.blur_sigma = check_range("blur_sigma", blur_sigma)
        self.blur_kernel_size = check_kernel_size(blur_kernel_size, "blur_kernel_size")
        self.solarize_probability = check_probability("solarize_probability", solarize_probability)
        self.solarize_threshold = check_probability("solarize_threshold", solarize_threshold)
        self.interpolation = check_interpolation(interpolation)
        self.preprocess = Preprocess(self.size, mean, std, value_range=value_range)
        self.value_range = self.preprocess.value_range
        self.mean, self.std = self.preprocess.normalize.mean, self.preprocess.normalize.std

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 normalized `(batch, height, width, channels)`."""
        return self.augment_and_locate(images, seed)[0]

    def augment_and_locate(
        self, images: KerasTensor, seed: keras.random.SeedGenerator
    ) -> tuple[KerasTensor, Crop]:
        """Returns what `augment` does, and where in the images it was cropped."""
        batch, channels = ops.shape(images)[0], images.shape[-1]
        crop = random_crop(seed, images, self.scale, self.ratio, self.flip)
        blur = None
        if self.blur_probability:
            blur = random_blur(seed, batch, self.blur_probability, self.blur_sigma, self.blur_kernel_size)
        x = crop_and_resize(crop, images, self.size, self.interpolation, blur)

        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        factors = random_factors(seed, batch, *strengths, self.jitter_probability)
        if self.grayscale_probability and channels == 3:
            factors["grayscale"] = bernoulli(seed, batch, self.grayscale_probability)
        mean, std = statistics(self.mean, self.std, channels)
        black, white = self.value_range
        x = x - black if black else x
        # Raw values up to white come in, so the offset is on their scale, too.
        scale = 1.0 / ((white - black) * std)
        x = apply_affine(x, *then_scale(*color_affine(x, **factors), scale, -mean / std))

        low, high = ((-mean / std)[:, None], ((1.0 - mean) / std)[:, None])
        solarized = None
        if self.solarize_probability:
            solarized = bernoulli(seed, batch, self.solarize_probability)
        return from_scanlines(clip_and_solarize(x, low, high, solarized, self.solarize_threshold)), crop

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        keys = (
            "size", "scale", "ratio", "flip", "brightness", "contrast", "saturation", "hue",
            "jitter_probability", "grayscale_probability", "blur_probability", "blur_sigma",
            "blur_kernel_size", "solarize_probability", "solarize_threshold", "mean", "std", "interpolation",
        )  # fmt: skip
        scale = {} if self.value_range == VALUE_RANGE else {"value_range": self.value_range}
        return {**super().get_config(), **{key: getattr(self, key) for key in keys}, **scale}
