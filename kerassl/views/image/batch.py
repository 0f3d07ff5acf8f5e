"""Any Keras layer, `keras.Sequential` or function of a batch of images as an augmentation."""

import inspect
from collections.abc import Callable

import keras
from keras import KerasTensor, ops

from kerassl.views.image.base import VALUE_RANGE, Augmentation, check_images
from kerassl.views.image.preprocess import Preprocess, Statistic


def takes(layer: Callable, argument: str) -> bool:
    """Says whether a layer's `call`, or a function, has an argument of a name."""
    called = layer.call if isinstance(layer, keras.layers.Layer) else layer
    return argument in inspect.signature(called).parameters


def apply_layer(layer: Callable, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
    """Returns what a layer or function makes of images; its random numbers come from `seed` where they can.

    A layer that takes no `seed` has seed generators of its own: their states are set from `seed`, so that the
    draws are a function of the run's seed and step. A function without the argument `seed` draws as it likes.
    """
    if takes(layer, "seed"):
        return layer(images, seed=seed)
    if not isinstance(layer, keras.layers.Layer):
        return layer(images)
    for variable in layer.variables:
        if variable.name == "seed_generator_state":
            variable.assign(ops.cast(seed.next(), variable.dtype))
    return layer(images, training=True) if takes(layer, "training") else layer(images)


@keras.saving.register_keras_serializable("kerassl")
class BatchAugmentation(Augmentation):
    """One view made by any Keras layer, `keras.Sequential` or function of a batch of images.

    The layer gets raw images, float32 in `value_range`, which is the scale that Keras' own augmentations
    expect, and gives images on that scale; they are then resized to `size` and normalized. Draws are the
    layer's own: a function that draws one number changes all images of a batch alike, where kerassl's
    augmentations draw for each image. Two views are always two calls.

    Args:
        layer: called as `layer(images, seed=seed)` if it has an argument `seed`, else as `layer(images)`. A
            function must be registered with Keras for the model to be loaded from its file.
        size: output height and width in pixels, an integer or a pair.
        mean: a number or one per channel, for images in [0, 1]; see `Normalize`.
        std: the same.
        value_range: values of black and white in raw images.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: for a layer that cannot be called, or that gives no images.

    Example:
        >>> import keras, numpy as np
        >>> from kerassl.views import BatchAugmentation, TwoViews
        >>> flip, contrast = keras.layers.RandomFlip("horizontal"), keras.layers.RandomContrast(0.4)
        >>> layer = keras.Sequential([flip, contrast])
        >>> views = TwoViews(BatchAugmentation(layer, size=16))
        >>> [tuple(view.shape) for view in views(np.zeros((4, 20, 20, 3), "uint8"))]
        [(4, 16, 16, 3), (4, 16, 16, 3)]
    """

    num_views = 1
    # Two views of one batch would share draws if they were made by one call.
    of_whole_batch = True

    def __init__(
        self,
        layer: Callable,
        size: int | tuple[int, int],
        mean: Statistic = None,
        std: Statistic = None,
        value_range: tuple[float, float] = VALUE_RANGE,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        if not callable(layer):
            raise ValueError(f"layer must be a Keras layer or a function of images; got {layer!r}.")
        self.layer = layer
        self.preprocess = Preprocess(size, mean, std, value_range=value_range)
        self.mean, self.std = self.preprocess.normalize.mean, self.preprocess.normalize.std
        self.value_range = self.preprocess.value_range

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 normalized `(batch, height, width, channels)`."""
        made = apply_layer(self.layer, ops.cast(images, "float32"), seed)
        if not hasattr(made, "shape"):
            raise ValueError(f"An augmentation must return images, one tensor; got a {type(made).__name__}.")
        check_images(made)
        return self.preprocess(made)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "size": self.preprocess.size,
            "mean": self.mean,
            "std": self.std,
            "value_range": self.value_range,
        }

    @classmethod
    def from_config(cls, config: dict) -> "BatchAugmentation":
        """Returns the layer of a configuration."""
        return cls(keras.saving.deserialize_keras_object(config.pop("layer")), **config)
