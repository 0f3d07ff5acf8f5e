"""Batch normalization with the field's constants, over the global batch where there are replicas."""

from collections.abc import Callable, Iterable

import keras
from keras import KerasTensor, ops

from kerassl.engine.collectives import num_replicas, replica_sum
from kerassl.engine.keras_internals import has_replaced_moments, reduction_axes, replace_moments


def batch_norm(**kwargs) -> keras.layers.BatchNormalization:
    """Returns a batch-norm layer with PyTorch's momentum 0.9 and epsilon 1e-5.

    Keras' defaults (0.99, 1e-3) differ from the papers'.

    Args:
        **kwargs: further arguments of `keras.layers.BatchNormalization`.

    Example:
        >>> from kerassl.engine import batch_norm
        >>> batch_norm().momentum
        0.9
    """
    return keras.layers.BatchNormalization(**{"momentum": 0.9, "epsilon": 1e-5, **kwargs})


def synchronize_batch_norm(layers: Iterable[keras.layers.Layer]) -> None:
    """Makes batch norm take the statistics of the global batch where replicas run the step side by side.

    Keras' own `synchronized=True` exists on TensorFlow only, and a model saved with it loads on no other
    backend. This changes a layer's computation, not its saved state.

    Args:
        layers: all layers of a model; those that are not batch norm are left alone.

    Raises:
        RuntimeError: for a version of Keras whose batch norm cannot be changed so.
    """
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization) and not is_synchronized(layer):
            replace_moments(layer, _global_moments)


def is_synchronized(layer: keras.layers.Layer) -> bool:
    """Whether a layer talks to other replicas in its forward pass."""
    return has_replaced_moments(layer) or getattr(layer, "synchronized", False)


def _global_moments(
    layer: keras.layers.Layer, local_moments: Callable, inputs: KerasTensor, mask: KerasTensor | None
):
    replicas = num_replicas()
    if mask is not None or replicas == 1:
        return local_moments(inputs, mask)
    axes = reduction_axes(layer)
    mean = replica_sum(ops.mean(inputs, axis=axes)) / replicas
    shape = [1 if axis in axes else inputs.shape[axis] for axis in range(len(inputs.shape))]
    # Two passes: the mean of squares less the square of the mean loses digits in float32.
    centered = ops.square(inputs - ops.reshape(mean, shape))
    return mean, replica_sum(ops.mean(centered, axis=axes)) / replicas
