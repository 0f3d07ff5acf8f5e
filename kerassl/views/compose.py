"""A view made of single layers, for pipelines that `View` does not cover."""

from collections.abc import Sequence

import keras
from keras import KerasTensor

from kerassl.views.base import Augmentation, to_unit
from kerassl.views.preprocess import Preprocess, Statistic


@keras.saving.register_keras_serializable("kerassl")
class Compose(Augmentation):
    """Scales raw images to [0, 1], applies layers in order, and normalises.

    Slower than `View`, which fuses the usual ones; any order and any own layer goes.

    Args:
        layers: layers called as `layer(images, seed=seed)` on float32 images in [0, 1]; they must give
            images of `size`.
        size: output height and width in pixels, an integer or a pair.
        mean: a number or one per channel, for images in [0, 1]; see `Normalize`.
        std: the same.
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
        layers: Sequence[keras.layers.Layer],
        size: int | tuple[int, int],
        mean: Statistic = None,
        std: Statistic = None,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.layers = list(layers)
        self.preprocess = Preprocess(size, mean, std)

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 normalised `(batch, size, size, channels)`."""
        images = to_unit(images)
        for layer in self.layers:
            images = layer(images, seed=seed)
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
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict) -> "Compose":
        """Returns the layer of a configuration."""
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config.pop("layers")]
        return cls(layers, **config)
