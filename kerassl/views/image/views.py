"""The base class of views of images."""

from typing import Any

import keras
from keras import KerasTensor

from kerassl.views.base import Views
from kerassl.views.image.base import VALUE_RANGE, ImageModality, check_images
from kerassl.views.image.preprocess import Preprocess, Statistic


@keras.saving.register_keras_serializable("kerassl")
class ImageViews(ImageModality, Views):
    """Views of images whose making a subclass writes: `augment(images, seed)`, one view, or `call`, all.

    Where a layer of one view is enough, `Augmentation` inside of `TwoViews` is simpler.

    Args:
        size: height and width in pixels that the encoder takes, an integer or a pair.
        mean: a number or one per channel, for images in [0, 1]; see `Normalize`.
        std: the same.
        value_range: values of black and white in raw images.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import keras, numpy as np
        >>> from kerassl.views import ImageViews
        >>> class Noisy(ImageViews):
        ...     def augment(self, images, seed):
        ...         images = self.preprocess(images)
        ...         return images + 0.1 * keras.random.normal(keras.ops.shape(images), seed=seed)
        >>> [tuple(view.shape) for view in Noisy(16)(np.zeros((4, 20, 20, 3), "uint8"))]
        [(4, 16, 16, 3), (4, 16, 16, 3)]
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        mean: Statistic = None,
        std: Statistic = None,
        value_range: tuple[float, float] = VALUE_RANGE,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.preprocess = Preprocess(size, mean, std, value_range=value_range)
        self.value_range = self.preprocess.value_range

    def call(self, inputs: KerasTensor, seed: keras.random.SeedGenerator | None = None) -> tuple[Any, ...]:
        """Returns a tuple of views of `(batch, height, width, channels)` images."""
        check_images(inputs)
        return super().call(inputs, seed)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        normalize = self.preprocess.normalize
        return {
            **super().get_config(),
            "size": self.preprocess.size,
            "mean": normalize.mean,
            "std": normalize.std,
            "value_range": self.value_range,
        }
