"""A view made of single layers, for pipelines that `FusedAugmentation` does not cover."""

from collections.abc import Callable, Sequence

import keras
from keras import KerasTensor

from kerassl.views.image.base import VALUE_RANGE, Augmentation, to_unit
from kerassl.views.image.batch import apply_layer, takes
from kerassl.views.image.preprocess import Preprocess, Statistic


@keras.saving.register_keras_serializable("kerassl")
class Compose(Augmentation):
    """Scales raw images to [0, 1], applies layers in order, and normalizes.

    Slower than `FusedAugmentation`, which fuses the usual ones; any order and any own layer goes.

    Args:
        layers: called on float32 images in [0, 1], as `layer(images, seed=seed)` if they have an argument
            `seed`; other Keras layers and functions of a batch as `layer(images)`, see `BatchAugmentation`.
            Keras' own take `value_range=(0, 1)` where they have that argument. Together they must give images
            of `size`.
        size: output height and width in pixels, an integer or a pair.
        mean: a number or one per channel, for images in [0, 1]; see `Normalize`.
        std: the same.
        value_range: values of black and white in raw images.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import Compose, RandomGrayscale, RandomResizedCrop
        >>> view = Compose([RandomResizedCrop(16), RandomGrayscale(0.5)], size=16)
        >>> tuple(view(np.zeros((2, 20, 20, 3), "uint8")).shape)
        (2, 16, 16, 3)
    """

    num_views = 1

    def __init__(
        self,
        layers: Sequence[Callable],
        size: int | tuple[int, int],
        mean: Statistic = None,
        std: Statistic = None,
        value_range: tuple[float, float] = VALUE_RANGE,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.layers = list(layers)
        self.preprocess = Preprocess(size, mean, std, value_range=value_range)
        self.value_range = self.preprocess.value_range
        # Two views of one batch would share the draws of layers that have no seed if one call made them.
        self.of_whole_batch = not all(takes(layer, "seed") for layer in self.layers)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 normalized `(batch, size, size, channels)`."""
        images = to_unit(images, self.value_range)
        for layer in self.layers:
            images = apply_layer(layer, images, seed)
        if tuple(images.shape[1:3]) != self.preprocess.size:
            raise ValueError(
                f"The layers gave images of {tuple(images.shape[1:3])} pixels where size says "
                f"{self.preprocess.size}; let a RandomResizedCrop give that size, or correct size."
            )
        return self.preprocess.normalize(images)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        config = {
            "layers": [keras.saving.serialize_keras_object(layer) for layer in self.layers],
            "size": self.preprocess.size,
            "mean": self.preprocess.normalize.mean,
            "std": self.preprocess.normalize.std,
        }
        scale = {} if self.value_range == VALUE_RANGE else {"value_range": self.value_range}
        return {**super().get_config(), **config, **scale}

    @classmethod
    def from_config(cls, config: dict) -> "Compose":
        """Returns the layer of a configuration."""
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config.pop("layers")]
        return cls(layers, **config)
