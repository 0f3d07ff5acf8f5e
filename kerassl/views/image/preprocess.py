"""Normalization constants and the deterministic preprocessing of evaluation and export."""

import dataclasses

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.views.base import to_numpy
from kerassl.views.image.base import VALUE_RANGE, check_images, check_size, check_value_range, to_unit
from kerassl.views.image.input_format import InputFormat
from kerassl.views.image.resample import from_scanlines, interpolation_matrix, resample, to_scanlines

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
DIGITS_MEAN, DIGITS_STD = (0.305,), (0.376,)

Statistic = float | tuple[float, ...] | None


def check_statistic(name: str, value: Statistic) -> tuple[float, ...] | None:
    """Returns a mean or a standard deviation as a tuple, or `None`."""
    if value is None:
        return None
    try:
        values = tuple(float(v) for v in np.ravel(value))
    except (TypeError, ValueError):
        values = ()
    if not values or not np.isfinite(values).all():
        raise ValueError(f"{name} must be a number, or one per channel, got {value!r}.")
    if name == "std" and min(values) <= 0:
        raise ValueError(f"std must be positive; got {value}.")
    return values


def numbers_per_channel(name: str, value: Statistic, channels: int) -> tuple[float, ...]:
    """Returns a mean or a standard deviation of [0, 1] images as one number per channel.

    `None` is ImageNet's statistic for 3 channels, and 0.5 and 0.25 for any other number.
    """
    rgb = channels == 3
    defaults = {"mean": IMAGENET_MEAN if rgb else (0.5,), "std": IMAGENET_STD if rgb else (0.25,)}
    values = check_statistic(name, defaults[name] if value is None else value)
    if len(values) not in (1, channels):
        raise ValueError(
            f"{name} has {len(values)} values for images of {channels} channels; "
            "give one number, or one per channel."
        )
    return tuple(values) * (channels // len(values))


def statistics(mean: Statistic, std: Statistic, channels: int) -> tuple[KerasTensor, KerasTensor]:
    """Returns mean and std as float32 `(channels,)`, in units of [0, 1] images; see `numbers_per_channel`."""
    numbers = [numbers_per_channel(*given, channels) for given in (("mean", mean), ("std", std))]
    return tuple(ops.convert_to_tensor(values, "float32") for values in numbers)


@keras.saving.register_keras_serializable("kerassl")
class Normalize(keras.layers.Layer):
    """Subtracts the mean and divides by the standard deviation of each channel.

    Takes images in [0, 1].

    Args:
        mean: a number or one per channel; `None` is ImageNet's for 3 channels and 0.5 otherwise.
        std: the same; `None` is ImageNet's for 3 channels and 0.25 otherwise.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import Normalize
        >>> float(Normalize(0.5, 0.25)(np.ones((1, 1, 1, 1), "float32"))[0, 0, 0, 0])
        2.0
    """

    def __init__(self, mean: Statistic = None, std: Statistic = None, **kwargs) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.mean, self.std = check_statistic("mean", mean), check_statistic("std", std)
        self.built = True

    def call(self, images: KerasTensor, seed: keras.random.SeedGenerator | None = None) -> KerasTensor:
        """Returns float32 normalized images; `seed` is not used."""
        check_images(images)
        mean, std = statistics(self.mean, self.std, images.shape[-1])
        return (ops.cast(images, "float32") - mean) / std

    def invert(self, images: KerasTensor) -> KerasTensor:
        """Returns the images in [0, 1] of which `images` are the normalized ones."""
        mean, std = statistics(self.mean, self.std, images.shape[-1])
        return ops.cast(images, "float32") * std + mean

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@keras.saving.register_keras_serializable("kerassl")
class Preprocess(keras.layers.Layer):
    """Resizes and normalizes raw images as evaluation needs them: no randomness.

    Resizing to `size` is antialiased and bilinear, and ignores the aspect ratio. Images whose static size is
    right already are not resized. Height and width may be unknown under TensorFlow, also in exported models.

    Args:
        size: output height and width in pixels, an integer or a pair.
        mean: a number or one per channel, for images in [0, 1]; see `Normalize`.
        std: the same.
        trained_on: an `InputFormat`, or a dict of its attributes, of the images of training; `fit` notes it,
            and it is saved and exported with the layer.
        value_range: values of black and white in raw images.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import Preprocess
        >>> tuple(Preprocess(32)(np.zeros((2, 48, 64, 3), "uint8")).shape)
        (2, 32, 32, 3)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        mean: Statistic = None,
        std: Statistic = None,
        trained_on: InputFormat | dict | None = None,
        value_range: tuple[float, float] = VALUE_RANGE,
        **kwargs,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = check_size(size)
        self.normalize = Normalize(mean, std)
        self.trained_on = InputFormat.get(trained_on)
        self.value_range = check_value_range(value_range)
        # Images unlike those of training of which an evaluation has warned already.
        self.warned_of = ()
        self.built = True

    def call(self, images: KerasTensor, seed: keras.random.SeedGenerator | None = None) -> KerasTensor:
        """Returns float32 `(batch, size, size, channels)`; `seed` is not used."""
        check_images(images)
        if tuple(images.shape[1:3]) != self.size:
            _, height, width, _ = ops.shape(images)
            # A batch of one matrix: the product with a plain matrix does not survive the ONNX converter.
            start = ops.zeros((1,))
            rows = interpolation_matrix(start, height, height, self.size[0])
            columns = interpolation_matrix(start, width, width, self.size[1])
            images = from_scanlines(resample(to_scanlines(images), rows, columns))
        return self.normalize(to_unit(images, self.value_range))

    def invert(self, images: KerasTensor) -> KerasTensor:
        """Returns raw images, float32 in `value_range`, of which `images` are the preprocessed ones."""
        black, white = self.value_range
        images = (white - black) * self.normalize.invert(images)
        return images + black if black else images

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns `(batch, height, width, channels)`."""
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        normalization = {"mean": self.normalize.mean, "std": self.normalize.std}
        record = {} if self.trained_on is None else {"trained_on": dataclasses.asdict(self.trained_on)}
        scale = {} if self.value_range == VALUE_RANGE else {"value_range": self.value_range}
        return {**super().get_config(), "size": self.size, **normalization, **record, **scale}


def preprocessing_of(model: keras.Model) -> Preprocess | None:
    """Returns the layer that prepares the images of an `SSLModel` or of an exported network, or `None`."""
    layers = [getattr(getattr(model, "views", None), "preprocess", None), *model.layers]
    return next((layer for layer in layers if isinstance(layer, Preprocess)), None)


def image_statistics(images: np.ndarray, value_range: tuple[float, float] | None = None) -> dict:
    """Measures the scale of a data set, as arguments of `preset`, `Preprocess` and `FusedAugmentation`.

    Args:
        images: `(number, height, width, channels)` array of any scale.
        value_range: values of black and white; `None` takes (0, 255) for uint8, else the least and the
            greatest value.

    Returns:
        `{"mean": ..., "std": ..., "value_range": ...}`: mean and standard deviation, one per channel,
        are those of images scaled from `value_range` to [0, 1].

    Raises:
        ValueError: for an array without four axes, or images that are all of one value.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import image_statistics, preset
        >>> bands = np.random.default_rng(0).integers(100, 4001, (8, 16, 16, 4)).astype("uint16")
        >>> scale = image_statistics(bands)
        >>> [round(value, 1) for value in scale["std"]]
        [0.3, 0.3, 0.3, 0.3]
        >>> preset("simclr_imagenet", 16, channels=4, **scale).num_views
        2
    """
    images = to_numpy(images)
    check_images(images)
    if value_range is None:
        value_range = VALUE_RANGE if images.dtype == np.uint8 else (images.min(), images.max())
    black, white = check_value_range(value_range)
    mean = images.mean(axis=(0, 1, 2), dtype="float64")
    std = images.std(axis=(0, 1, 2), dtype="float64")
    # A channel of one value has no deviation to divide by.
    std = np.where(std > 0, std / (white - black), 1.0)
    return {
        "mean": tuple(((mean - black) / (white - black)).tolist()),
        "std": tuple(std.tolist()),
        "value_range": (black, white),
    }
