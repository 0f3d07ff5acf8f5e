"""Batch Styles Standardization: all images of a view take the style of one of them."""

import math

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.views.base import uniform
from kerassl.views.image.base import Augmentation
from kerassl.views.image.preprocess import statistics


@keras.saving.register_keras_serializable("kerassl")
class BatchStyles(Augmentation):
    """A view whose images have the low-frequency amplitudes of one image of the batch, and their own phases.

    Within a view all images share a style, so that no style tells negatives apart; another view has another.
    In each channel the amplitudes of the frequencies `|f| < r * size / 2` of both axes are replaced by those
    of an image drawn at random, before normalization; the result is clipped to [0, 1] again. On several
    replicas, each has a style of its own share of the batch.

    Source: Scalbert et al., Towards domain-invariant Self-Supervised Learning with Batch Styles
    Standardization, arXiv 2303.06088. The range of r is ours: the paper's was not at hand, nor was its code.

    Args:
        view: the layer that makes the view, such as `FusedAugmentation`.
        ratio: r, drawn anew for each view from this range, in [0, 1]. 0 replaces nothing.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: for a range outside [0, 1], or a view that does not say how it normalizes.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import BatchStyles, FusedAugmentation, TwoViews
        >>> views = TwoViews(BatchStyles(FusedAugmentation(32)))
        >>> [tuple(view.shape) for view in views(np.zeros((4, 32, 32, 3), "uint8"))]
        [(4, 32, 32, 3), (4, 32, 32, 3)]
    """

    num_views = 1
    # Two views of one batch would share a style if they were made by one call.
    of_whole_batch = True

    def __init__(
        self,
        view: keras.layers.Layer,
        ratio: tuple[float, float] = (0.05, 0.3),
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.ratio = tuple(float(r) for r in ratio)
        if len(self.ratio) != 2 or not 0 <= self.ratio[0] <= self.ratio[1] <= 1:
            raise ValueError(f"ratio must be a pair (a, b) with 0 <= a <= b <= 1; got {ratio}.")
        if not (hasattr(view, "mean") and hasattr(view, "std") and hasattr(view, "preprocess")):
            raise ValueError(
                f"view must be a layer like kerassl.views.FusedAugmentation; got a {type(view).__name__}."
            )
        self.view = view
        self.preprocess = view.preprocess
        self.value_range = view.preprocess.value_range
        self.mean, self.std = view.mean, view.std

    def augment(self, images: KerasTensor, seed: keras.random.SeedGenerator) -> KerasTensor:
        """Returns float32 normalized `(batch, height, width, channels)`."""
        x = self.view(images, seed=seed)
        mean, std = statistics(self.mean, self.std, x.shape[-1])
        pixels = x * std + mean
        donor = keras.random.randint((), 0, ops.shape(x)[0], seed=seed)
        ratio = uniform(seed, (), *self.ratio)
        styled = with_amplitudes_of(pixels, ops.take(pixels, donor[None], axis=0), ratio, self.ratio[1])
        return (ops.clip(styled, 0.0, 1.0) - mean) / std

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        view = keras.saving.serialize_keras_object(self.view)
        return {**super().get_config(), "view": view, "ratio": self.ratio}

    @classmethod
    def from_config(cls, config: dict) -> "BatchStyles":
        """Returns the layer of a configuration."""
        return cls(keras.saving.deserialize_keras_object(config.pop("view")), **config)


def with_amplitudes_of(
    images: KerasTensor, donor: KerasTensor, ratio: float | KerasTensor, max_ratio: float = 1.0
) -> KerasTensor:
    """Images with the amplitudes of another in all frequencies `|f| < ratio * size / 2` of both axes.

    Only these frequencies are transformed, by products with rows of the Fourier matrices. The highest one of
    an even size is never among them: it has no partner of the opposite sign.

    Args:
        images: `(batch, height, width, channels)` float32.
        donor: `(1, height, width, channels)` float32.
        ratio: number or scalar tensor in [0, max_ratio].
        max_ratio: the largest that `ratio` can be, in [0, 1].

    Returns:
        float32, of the shape of `images`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views.image.styles import with_amplitudes_of
        >>> bright = with_amplitudes_of(np.zeros((1, 4, 4, 1)), np.ones((1, 4, 4, 1)), 0.5)
        >>> print(np.round(np.array(bright)[0, 0, :, 0], 4))
        [1. 1. 1. 1.]
    """
    images, donor = ops.cast(images, "float32"), ops.cast(donor, "float32")
    _, height, width, _ = images.shape
    (rows, rows_kept), (columns, columns_kept) = (_fourier(n, ratio, max_ratio) for n in (height, width))
    kept = rows_kept[:, None] * columns_kept[None, :]

    def transform(x: KerasTensor):
        # (batch, channels, height, width) to the real and imaginary parts of its low frequencies.
        x = ops.transpose(x, (0, 3, 1, 2))
        cos, sin = (ops.matmul(ops.matmul(part, x), ops.transpose(columns[0])) for part in rows)
        cos_sin, sin_sin = (ops.matmul(ops.matmul(part, x), ops.transpose(columns[1])) for part in rows)
        return cos - sin_sin, -(sin + cos_sin)

    real, imaginary = transform(images)
    amplitude = ops.sqrt(ops.square(real) + ops.square(imaginary))
    donated_real, donated_imaginary = transform(donor)
    donated = ops.sqrt(ops.square(donated_real) + ops.square(donated_imaginary))
    # Where there is no amplitude there is no phase: it is taken to be 0.
    none = amplitude < 1e-6
    factor = donated / ops.where(none, 1.0, amplitude)
    real_change = kept * (ops.where(none, donated, factor * real) - real)
    imaginary_change = kept * (ops.where(none, 0.0, factor * imaginary) - imaginary)

    def back(part: KerasTensor, row: KerasTensor, column: KerasTensor):
        return ops.matmul(ops.matmul(ops.transpose(row), part), column)

    change = (
        back(real_change, rows[0], columns[0])
        - back(real_change, rows[1], columns[1])
        - back(imaginary_change, rows[0], columns[1])
        - back(imaginary_change, rows[1], columns[0])
    ) / (height * width)
    return images + ops.transpose(change, (0, 2, 3, 1))


def _fourier(size: int, ratio: float | KerasTensor, max_ratio: float):
    """Cosines and sines `(frequencies, size)` of the low frequencies, and which of them the ratio keeps."""
    highest = max(math.ceil(max_ratio * size / 2) - 1, 0)
    frequencies = np.arange(-highest, highest + 1)
    angles = 2 * np.pi * frequencies[:, None] * np.arange(size) / size
    distances = ops.convert_to_tensor(np.abs(frequencies).astype("float32"))
    kept = ops.cast(distances < ops.cast(ratio, "float32") * (size / 2), "float32")
    cosines, sines = (ops.convert_to_tensor(f(angles).astype("float32")) for f in (np.cos, np.sin))
    return (cosines, sines), kept
