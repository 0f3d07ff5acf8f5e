"""What images are before a network's own preprocessing: their size, channels and scale."""

import dataclasses

import keras
import numpy as np
from keras import ops

# What the values of images say of their scale.
BYTES, UNIT, NORMALIZED = "0 to 255", "0 to 1", "normalized"


@dataclasses.dataclass(frozen=True)
class InputFormat:
    """What images were before a network's own preprocessing.

    Attributes:
        size: (height, width) in pixels.
        channels: their number.
        values: "0 to 255" or another range of the views, "0 to 1", or "normalized" where some are negative.
        resize: how they were brought to their size, in words; `None` if they came so or it is not known.
    """

    size: tuple[int, int]
    channels: int
    values: str
    resize: str | None = None

    @classmethod
    def get(cls, given: "InputFormat | dict | None") -> "InputFormat | None":
        """Returns the format itself, or that of a dict of its attributes."""
        if not isinstance(given, dict):
            return given
        if not {"size", "channels", "values"} <= given.keys():
            raise ValueError(f"trained_on must have size, channels and values, got {given}.")
        # Older files spell it the British way.
        values = given["values"].replace("normalised", NORMALIZED)
        resize = given.get("resize") and given["resize"].replace("centre", "center")
        return cls(**{**given, "size": tuple(given["size"]), "values": values, "resize": resize})

    @classmethod
    def of(
        cls, images: np.ndarray, resize: str | None = None, value_range: tuple[float, float] = (0, 255)
    ) -> "InputFormat":
        """Returns the format of some `(number, height, width, channels)` images.

        Args:
            images: an array or a tensor.
            resize: how they were brought to their size, in words.
            value_range: values of black and white that the views expect.

        Example:
            >>> import numpy as np
            >>> from kerassl.views import InputFormat
            >>> InputFormat.of(np.full((1, 8, 6, 3), 0.5)).values
            '0 to 1'
        """
        _, height, width, channels = images.shape
        black, white = value_range
        values = f"{black:g} to {white:g}"
        if not keras.backend.is_int_dtype(keras.backend.standardize_dtype(images.dtype)):
            sample = ops.convert_to_numpy(images[:256])
            low, high = float(sample.min()), float(sample.max())
            values = NORMALIZED if low < min(black, 0) else UNIT if 0 < high <= 1 else values
        return cls((int(height), int(width)), int(channels), values, resize)
