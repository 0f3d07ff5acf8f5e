"""EfficientTrain's low-frequency crop: smaller images that keep the low frequencies of larger ones."""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.views.base import ViewsOf, as_tuple


@keras.saving.register_keras_serializable("kerassl")
class LowFrequency(ViewsOf):
    """Views whose high frequencies are cut off, and which are smaller in proportion: a step is cheaper.

    The centered block of a view's discrete Fourier transform becomes a smaller image of the same mean. Early
    in training a network learns from low frequencies anyway; `kerassl.callbacks.LowFrequencyCurriculum`
    raises `image_size` during training. The encoder must take images of several sizes, as
    `backbones.ResNet` and `backbones.vit` do.

    The frequency at half of an even size stands unpaired in the block and would make the image complex: it is
    left out, where the paper takes the real part.

    Source: EfficientTrain, arXiv 2211.09703, section 4.1; LeapLabTHU/EfficientTrain, which resizes instead.

    Args:
        views: the layer that makes the views, all of which must be images.
        image_size: height and width in pixels that the first view gets; the others shrink by the same factor.
            The view's own size, or more, leaves all as they are.
        multiple_of: sizes are rounded to multiples of this, such as a ViT's patch size.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: for sizes below 1, or views that hold more than images.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import LowFrequency, preset
        >>> views = LowFrequency(preset("simclr_cifar", 32), image_size=24)
        >>> [tuple(view.shape) for view in views(np.zeros((4, 32, 32, 3), "uint8"))]
        [(4, 24, 24, 3), (4, 24, 24, 3)]
    """

    def __init__(
        self,
        views: keras.layers.Layer,
        image_size: int,
        multiple_of: int = 1,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(views, seed=seed, **kwargs)
        if min(image_size, multiple_of) < 1:
            raise ValueError(
                f"image_size and multiple_of must be at least 1 pixel; got {image_size} and {multiple_of}."
            )
        self.views, self.image_size, self.multiple_of = views, image_size, multiple_of
        self.num_views = views.num_views

    def call(self, inputs: KerasTensor, seed: keras.random.SeedGenerator | None = None) -> tuple:
        """Returns what the layer makes, smaller."""
        views = as_tuple(self.views(inputs, seed=self.generator if seed is None else seed))
        if any(len(view.shape) != 4 for view in views):
            raise ValueError(
                "LowFrequency needs views that are images; these also hold masks or boxes, of shapes "
                f"{[tuple(view.shape) for view in views]}."
            )
        full = views[0].shape[1]
        sizes = [tuple(self.shrunk(side, full) for side in view.shape[1:3]) for view in views]
        return tuple(low_frequencies(view, size) for view, size in zip(views, sizes, strict=True))

    def shrunk(self, side: int, full: int) -> int:
        """The side in pixels of a view of `side`, where the first view is of `full`."""
        asked = round(side * min(self.image_size, full) / full / self.multiple_of) * self.multiple_of
        return side if self.image_size >= full else min(max(asked, self.multiple_of), side)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "views": keras.saving.serialize_keras_object(self.views),
            "image_size": self.image_size,
            "multiple_of": self.multiple_of,
        }

    @classmethod
    def from_config(cls, config: dict) -> "LowFrequency":
        """Returns the layer of a configuration."""
        return cls(keras.saving.deserialize_keras_object(config.pop("views")), **config)


def low_frequencies(images: KerasTensor, size: tuple[int, int]) -> KerasTensor:
    """Images `(batch, height, width, channels)` made smaller by cutting off their high frequencies.

    Args:
        images: float images.
        size: new height and width in pixels, none above the old.

    Returns:
        Float32 `(batch, *size, channels)` of the same means.

    Example:
        >>> import numpy as np
        >>> from kerassl.views.image.low_frequency import low_frequencies
        >>> small = low_frequencies(np.full((1, 8, 8, 1), 0.3), (4, 6))
        >>> tuple(small.shape), round(float(small[0, 0, 0, 0]), 4)
        ((1, 4, 6, 1), 0.3)
    """
    images = ops.cast(images, "float32")
    (height, width), channels = images.shape[1:3], images.shape[-1]
    if (height, width) == tuple(size):
        return images
    rows, columns = _low_pass(height, size[0]), _low_pass(width, size[1])
    images = ops.reshape(images, (-1, height, width * channels))
    images = ops.reshape(ops.matmul(rows, images), (-1, width, channels))
    return ops.reshape(ops.matmul(columns, images), (-1, *size, channels))


def _low_pass(full: int, size: int) -> np.ndarray:
    """The matrix `(size, full)` of a transform, the block of its low frequencies and the transform back."""
    if size >= full:
        return np.eye(full, dtype="float32")
    frequencies = np.arange(1, (size - 1) // 2 + 1)
    shifts = np.arange(size)[:, None] / size - np.arange(full)[None] / full
    waves = np.cos(2 * np.pi * frequencies[:, None, None] * shifts).sum(axis=0)
    return ((1 + 2 * waves) / full).astype("float32")
