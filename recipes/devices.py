"""Where and in which precision a run computes."""

import contextlib
from collections.abc import Iterator

import keras

from recipes.names import PRECISIONS, STRATEGIES, check_name


@contextlib.contextmanager
def devices(strategy: str = "none", precision: str = "float32") -> Iterator[int]:
    """Sets the distribution and the precision under which a model is made and trained.

    Args:
        strategy: "none" for one device; "mirrored" for `tf.distribute.MirroredStrategy` over all GPUs;
            "data_parallel" for `keras.distribution.DataParallel` over all JAX devices.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".

    Yields:
        The number of devices that share a batch.

    Raises:
        ValueError: for an unknown name, or a strategy that the backend does not have.

    Example:
        >>> from recipes.devices import devices
        >>> with devices() as count:
        ...     count
        1
    """
    check_name("strategy", strategy, STRATEGIES)
    check_name("precision", precision, PRECISIONS)
    needed = {"mirrored": "tensorflow", "data_parallel": "jax"}.get(strategy, keras.backend.backend())
    if needed != keras.backend.backend():
        raise ValueError(
            f"--strategy={strategy} needs the {needed} backend, but {keras.backend.backend()} is running. "
            f"Set KERAS_BACKEND={needed}, or use --strategy=none."
        )
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        if strategy == "mirrored":
            import tensorflow as tf

            mirrored = tf.distribute.MirroredStrategy()
            with mirrored.scope():
                yield mirrored.num_replicas_in_sync
        elif strategy == "data_parallel":
            before = keras.distribution.distribution()
            keras.distribution.set_distribution(keras.distribution.DataParallel())
            try:
                yield len(keras.distribution.list_devices())
            finally:
                keras.distribution.set_distribution(before)
        else:
            yield 1
    finally:
        keras.config.set_dtype_policy(policy)
