"""Where and in which precision a run computes."""

import contextlib
import os
from collections.abc import Iterator

import keras

import kerassl

from .names import PRECISIONS, STRATEGIES, check_name


@contextlib.contextmanager
def devices(
    strategy: str = "none", precision: str = "float32", num_devices: int | None = None, model_shards: int = 2
) -> Iterator[int]:
    """Sets the distribution and the precision under which a model is made and trained.

    Of several processes only the first one prints.

    Args:
        strategy: a name of `kerassl.distribute`.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        num_devices: devices of this host to use, by default all.
        model_shards: devices that share one copy of the weights under "model_parallel".

    Yields:
        The number of devices that share a batch.

    Raises:
        ValueError: for an unknown name, a strategy that the backend does not have, or a number of devices
            where the strategy leaves no choice.

    Example:
        >>> from recipes.devices import devices
        >>> with devices() as count:
        ...     count
        1
    """
    check_name("strategy", strategy, STRATEGIES)
    check_name("precision", precision, PRECISIONS)
    if num_devices is not None and strategy in ("none", "multi_worker"):
        taken = {"none": "one device", "multi_worker": "all devices of each process"}[strategy]
        raise ValueError(
            f"--num_devices={num_devices} chooses nothing: --strategy={strategy} takes {taken}. Choose "
            "another --strategy, or leave --num_devices out."
        )
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        with contextlib.ExitStack() as stack:
            count = stack.enter_context(kerassl.distribute(strategy, num_devices, model_shards))
            if not kerassl.engine.is_chief():
                silence = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(silence))
            yield count
    finally:
        keras.config.set_dtype_policy(policy)
