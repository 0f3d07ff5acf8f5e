"""Random numbers as a pure function of (seed, step, replica), so that a run resumes exactly."""

import hashlib

import keras
from keras import KerasTensor, ops

from kerassl.engine.keras_internals import StatelessSeedGenerator


class StepSeed(StatelessSeedGenerator):
    """A seed generator without state: draw number i of a step is a function of (seed, step, replica, i).

    Keras' own generator counts draws in a variable, which `.keras` and `.weights.h5` files do not hold
    and which every replica shares. This one is made anew at the start of each step and passed to
    whatever draws, as the `seed` argument of `keras.random` functions.

    Args:
        seed: Python integer, the seed of the run, or a string that says more.
        step: int32 scalar tensor or Python integer, the number of batches seen so far.
        replica: int32 scalar tensor or Python integer, the index of this device (0 for one device).

    Example:
        >>> import keras
        >>> from kerassl.engine import StepSeed
        >>> a = keras.random.uniform((2,), seed=StepSeed(seed=1, step=5))
        >>> b = keras.random.uniform((2,), seed=StepSeed(seed=1, step=5))
        >>> bool(keras.ops.all(a == b))
        True
    """

    def __init__(self, seed: int | str, step: int | KerasTensor = 0, replica: int | KerasTensor = 0) -> None:
        super().__init__(seed)
        self._counter = ops.cast(step, "int32") * 4099 + ops.cast(replica, "int32")
        self._draws = 0

    def next(self, ordered: bool = True) -> KerasTensor:
        """Returns the two-integer seed of the next draw, in the backend's seed dtype."""
        digest = hashlib.blake2b(f"{self.seed}/{self._draws}".encode(), digest_size=4).digest()
        self._draws += 1
        # 30 bits: torch adds the two numbers, and the sum must stay within a signed 32-bit integer.
        draw = int.from_bytes(digest, "little") >> 2
        dtype = "uint32" if keras.backend.backend() == "jax" else "int32"
        return ops.stack([ops.cast(draw, dtype), ops.cast(self._counter, dtype)])
