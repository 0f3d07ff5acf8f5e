"""What the networks of this package keep in their configs."""

from typing import Any

import keras
import numpy as np

from kerassl.arguments import PositiveFloat, PositiveInt, RemembersArguments

# A number, or one per channel.
Statistic = float | tuple[float, ...] | None
Deviation = PositiveFloat | tuple[PositiveFloat, ...] | None
ImageSize = PositiveInt | tuple[PositiveInt, PositiveInt] | None
_STATISTICS = ("input_mean", "input_std", "input_value_range")


class Backbone(RemembersArguments):
    """The constructor's arguments, and how the images of training were normalized, where that is known.

    Attributes:
        input_mean: mean of each channel of images in [0, 1]; the default views of a method normalize by it.
        input_std: their standard deviation.
        input_value_range: values of black and white in raw images.
    """

    input_mean: tuple[float, ...] | None = None
    input_std: tuple[float, ...] | None = None
    input_value_range: tuple[float, float] | None = None

    def get_config(self) -> dict:
        """Returns the constructor's arguments and what was set later."""
        statistics = {name: getattr(self, name) for name in _STATISTICS if getattr(self, name) is not None}
        return {**super().get_config(), "trainable": self.trainable, **statistics}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        """Returns a network of the same shape with fresh weights."""
        config = dict(config)
        statistics = {name: tuple(config.pop(name)) for name in _STATISTICS if name in config}
        trainable = config.pop("trainable", True)
        with keras.saving.CustomObjectScope(custom_objects or {}):
            network = super().from_config(config)
        network.trainable = trainable
        for name, value in statistics.items():
            setattr(network, name, value)
        return network


def carry_statistics(encoder: keras.Model, mean: Statistic, std: Statistic) -> None:
    """Notes on an encoder how its images are normalized; `None` leaves it open.

    Args:
        encoder: built `keras.Model` from images.
        mean: a number or one per channel, for images in [0, 1].
        std: the same.

    Raises:
        ValueError: for a number of values other than the encoder's channels, or a deviation that is not > 0.
    """
    channels = encoder.input_shape[-1]
    for name, value in (("input_mean", mean), ("input_std", std)):
        if value is None:
            continue
        numbers = tuple(float(number) for number in np.ravel(value))
        if len(numbers) not in (1, channels) or not np.isfinite(numbers).all():
            raise ValueError(f"{name} must be a number or one for each of {channels} channels, got {value}.")
        if name == "input_std" and min(numbers) <= 0:
            raise ValueError(f"{name} must be > 0, got {value}.")
        setattr(encoder, name, numbers * (channels // len(numbers)))
