"""What every view layer shares: the seed argument, the checks of input and settings, and the draws."""

import keras
from keras import KerasTensor, ops


def check_images(images: KerasTensor) -> None:
    """Raises `ValueError` unless `images` has the rank of `(batch, height, width, channels)`."""
    if len(images.shape) != 4:
        raise ValueError(
            f"Images must have shape (batch, height, width, channels); got shape {tuple(images.shape)}. "
            "Batch before augmenting, and add a channel axis to gray images with `images[..., None]`."
        )


def check_probability(name: str, value: float) -> float:
    """Returns `value` as a float if it lies in [0, 1], and raises `ValueError` otherwise."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1]; got {value}. 0 turns the transform off.")
    return float(value)


def check_range(
    name: str, value: float | tuple[float, float], low: float = 0.0, high: float = float("inf")
) -> tuple[float, float]:
    """Returns `value` as `(a, b)` if low < a <= b <= high, and raises `ValueError` otherwise."""
    pair = tuple(float(v) for v in value) if isinstance(value, (tuple, list)) else (float(value),) * 2
    if len(pair) != 2 or not low < pair[0] <= pair[1] <= high:
        raise ValueError(f"{name} must be a pair (a, b) with {low} < a <= b <= {high}; got {value}.")
    return pair


def check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns `size` as `(height, width)` in pixels, from an integer or a pair."""
    pair = tuple(int(v) for v in size) if isinstance(size, (tuple, list)) else (int(size),) * 2
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"size must be a positive integer or a pair (height, width); got {size}.")
    return pair


def uniform(
    seed: keras.random.SeedGenerator, shape: tuple, low: float = 0.0, high: float = 1.0
) -> KerasTensor:
    """Draws float32 numbers uniformly from [low, high)."""
    return keras.random.uniform(shape, low, high, dtype="float32", seed=seed)


def bernoulli(seed: keras.random.SeedGenerator, batch: int | KerasTensor, probability: float) -> KerasTensor:
    """Draws `(batch,)` booleans that are True with `probability`."""
    return uniform(seed, (batch,)) < probability


class Augmentation(keras.layers.Layer):
    """A random layer on images; every sample draws its own parameters.

    A subclass writes `augment(images, seed)`. The layer always computes in float32, since a bfloat16
    policy would round the pixels themselves.

    Args:
        seed: integer seed of the generator that is used when `call` is given no seed.
        **kwargs: further arguments of `keras.layers.Layer`.
    """

    def __init__(self, seed: int | None = None, **kwargs) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        # No view has weights, so nothing waits for a shape.
        self.built = True

    def call(
        self, images: KerasTensor, seed: keras.random.SeedGenerator | None = None
    ) -> KerasTensor | tuple[KerasTensor, ...]:
        """Augments `(batch, height, width, channels)` images.

        Args:
            images: `(batch, height, width, channels)`.
            seed: a `keras.random.SeedGenerator`, such as `kerassl.engine.StepSeed`, that all draws come
                from; `None` takes the layer's own.
        """
        check_images(images)
        return self.augment(images, self.generator if seed is None else seed)

    def augment(
        self, images: KerasTensor, seed: keras.random.SeedGenerator
    ) -> KerasTensor | tuple[KerasTensor, ...]:
        """Returns the augmented images; all draws come from `seed`."""
        raise NotImplementedError(f"{type(self).__name__} must define `augment(images, seed)`.")

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {**super().get_config(), "seed": self.seed}


def to_unit(images: KerasTensor) -> KerasTensor:
    """Casts raw images, uint8 or float in [0, 255], to float32 in [0, 1]."""
    return ops.cast(images, "float32") / 255.0
