"""Batch normalisation with the field's constants, over the global batch where there are replicas."""

import keras


def batch_norm(**kwargs) -> keras.layers.BatchNormalization:
    """Returns a batch-norm layer with PyTorch's momentum 0.9 and epsilon 1e-5.

    Keras' defaults (0.99, 1e-3) are not those of the papers. Under a `tf.distribute` strategy the
    statistics are those of the global batch; on JAX they always are.

    Args:
        **kwargs: further arguments of `keras.layers.BatchNormalization`.

    Example:
        >>> from kerassl.engine import batch_norm
        >>> batch_norm().momentum
        0.9
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        kwargs.setdefault("synchronized", tf.distribute.has_strategy())
    return keras.layers.BatchNormalization(**{"momentum": 0.9, "epsilon": 1e-5, **kwargs})
