"""What all views of images share: the checks of images, their scale, and the layer of one view."""

import dataclasses
import warnings
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.arguments import check_value
from kerassl.views.base import Modality, RandomLayer, to_numpy
from kerassl.views.image.input_format import InputFormat

# Values of black and white in raw images.
VALUE_RANGE = (0.0, 255.0)
# The share of the range by which pixels may leave it, as those of bicubic interpolation do.
OVERSHOOT = 0.1


def check_images(images: KerasTensor) -> None:
    """Raises `ValueError` unless `images` has the rank of `(batch, height, width, channels)`."""
    if len(images.shape) != 4:
        raise ValueError(
            f"Images must have shape (batch, height, width, channels); got shape {tuple(images.shape)}. "
            "Batch before augmenting, and add a channel axis to gray images with `images[..., None]`."
        )


def check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns `size` as `(height, width)` in pixels, from an integer or a pair."""
    check_value("size", size, int | tuple[int, int])
    pair = tuple(int(v) for v in size) if isinstance(size, (tuple, list)) else (int(size),) * 2
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"size must be a positive integer or a pair (height, width); got {size}.")
    return pair


def check_value_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """Returns `value_range` as `(black, white)`, and raises `ValueError` unless black < white."""
    pair = tuple(float(v) for v in value_range) if isinstance(value_range, (tuple, list)) else ()
    if len(pair) != 2 or not -np.inf < pair[0] < pair[1] < np.inf:
        raise ValueError(
            f"value_range must be a pair (black, white) with black < white, such as (0, 255); "
            f"got {value_range}."
        )
    return pair


def to_unit(images: KerasTensor, value_range: tuple[float, float] = VALUE_RANGE) -> KerasTensor:
    """Casts raw images, integers or floats in `value_range`, to float32 in [0, 1]."""
    low, high = value_range
    images = ops.cast(images, "float32")
    return (images - low if low else images) / (high - low)


class ImageModality(Modality):
    """The answers of views of images `(batch, height, width, channels)`.

    Attributes:
        value_range: values of black and white in raw images; `None` for any.
    """

    modality = "images"
    value_range: tuple[float, float] | None = VALUE_RANGE

    def check(self, inputs: Any, labels: Any = None) -> None:
        """Raises `ValueError` for images that cannot be trained on, and warns of an unlikely scale.

        Args:
            inputs: `(number, height, width, channels)` array or tensor, integers or floats in `value_range`.
            labels: an array `(number, ...)`, or `None`.

        Raises:
            ValueError: for a rank that is not 4, no images, a type that is not a number, NaN or infinite
                pixels, pixels outside `value_range`, or labels of another number.
        """
        if isinstance(inputs, (dict, tuple, list)):
            raise ValueError(
                f"Images must be one array (number, height, width, channels); got a {type(inputs).__name__}. "
                "For data that holds views already, make the model with views=None."
            )
        images = to_numpy(inputs)
        if images.ndim != 4:
            raise ValueError(
                f"Images must have shape (number, height, width, channels); got shape {images.shape}. Add "
                "the missing axis, e.g. images[..., None] for gray images or images[None] for one image."
            )
        if images.dtype.kind not in "uif":
            raise ValueError(
                f"Images must be uint8 or float{self._range_in_words()}; got dtype {images.dtype}. "
                "Convert them with images.astype('uint8') or images.astype('float32')."
            )
        super().check(images, labels)
        self._check_values(images)

    def _check_values(self, images: np.ndarray) -> None:
        if self.value_range is None:
            return
        black, white = self.value_range
        if images.dtype == np.uint8 and (black, white) == VALUE_RANGE:
            return
        low, high = float(images.min()), float(images.max())
        is_float, margin = images.dtype.kind == "f", 0.0
        if is_float:
            margin = OVERSHOOT * (white - black)
            # Negative values are those of normalized images more often than of a wrong range.
            likely_normalized = (black, white) == VALUE_RANGE and low < 0
            if likely_normalized or 0 < high <= 1 < white:
                warnings.warn(
                    f"Float images must be{self._range_in_words()}; got values from {low:g} to {high:g}, "
                    "which looks as if they were normalized already. Multiply by 255 (and undo a mean "
                    "shift), pass uint8 images, or give the views value_range=(0, 1) for images in [0, 1].",
                    stacklevel=4,
                )
                return
        if low < black - margin or high > white + margin:
            kind = "Float" if is_float else "Integer"
            raise ValueError(
                f"{kind} images must be{self._range_in_words()}; got values from {low:g} to {high:g}. "
                f"Rescale them, or give the views value_range=({low:g}, {high:g})."
            )

    def _range_in_words(self) -> str:
        return " in [{:g}, {:g}]".format(*self.value_range) if self.value_range else ""

    def describe(self, inputs: Any) -> dict:
        """Returns the attributes of the images' `InputFormat`.

        Args:
            inputs: `(number, height, width, channels)` images.
        """
        return dataclasses.asdict(InputFormat.of(inputs, value_range=self.value_range))

    def raw_input_spec(
        self, encoder: keras.Model, size: int | tuple[int, int] | None = None
    ) -> keras.InputSpec:
        """Returns shape and dtype of raw images: floats, to which bytes are cast.

        Args:
            encoder: the network whose input shape says the number of channels.
            size: height and width in pixels of the images that will come; `None` takes any.
        """
        sides = (None, None) if size is None else check_size(size)
        # Not uint8, which would cut off what floats have behind the point, without a word.
        return keras.InputSpec("float32", (None, *sides, encoder.input_shape[-1]))


class Augmentation(ImageModality, RandomLayer):
    """A random layer from images to one view of each: the class to subclass for an augmentation of one's own.

    A subclass writes `augment(images, seed)`, in which every image draws its own parameters from `seed`. The
    layer computes in float32. Layers and functions that know nothing of `seed` become an augmentation by
    `kerassl.views.BatchAugmentation`.

    Args:
        seed: integer seed of the generator that is used when `call` is given no seed.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import keras, numpy as np
        >>> from kerassl.views import Augmentation, Compose, RandomResizedCrop, TwoViews
        >>> class Darken(Augmentation):
        ...     def augment(self, images, seed):
        ...         share = keras.random.uniform((keras.ops.shape(images)[0], 1, 1, 1), 0.5, 1.0, seed=seed)
        ...         return images * share
        >>> views = TwoViews(Compose([RandomResizedCrop(16), Darken()], size=16))
        >>> [tuple(view.shape) for view in views(np.zeros((4, 20, 20, 3), "uint8"))]
        [(4, 16, 16, 3), (4, 16, 16, 3)]
    """

    def call(self, images: KerasTensor, seed: keras.random.SeedGenerator | None = None) -> KerasTensor:
        """Augments `(batch, height, width, channels)` images.

        Args:
            images: `(batch, height, width, channels)`.
            seed: a `keras.random.SeedGenerator`, such as `kerassl.engine.StepSeed`, that all draws come
                from; `None` takes the layer's own.
        """
        check_images(images)
        return self.augment(images, self.generator if seed is None else seed)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns the augmented images; all draws come from `seed`."""
        raise NotImplementedError(f"{type(self).__name__} must define `augment(images, seed)`.")
