"""Attention in the form that each backend computes fastest."""

import keras
from keras import KerasTensor, ops


def attention(query: KerasTensor, key: KerasTensor, value: KerasTensor) -> KerasTensor:
    """Softmax attention, `softmax(query key^T / sqrt(dim)) value` for each head.

    JAX and torch have fused kernels behind `keras.ops.dot_product_attention`. TensorFlow has the einsums of
    Keras, which take twice the time of batched matrix products on a CPU.

    Args:
        query: (batch, n, heads, dim).
        key: (batch, m, heads, dim).
        value: (batch, m, heads, dim).

    Returns:
        (batch, n, heads, dim).
    """
    if keras.backend.backend() != "tensorflow":
        return ops.dot_product_attention(query, key, value)
    query, key, value = (ops.transpose(part, (0, 2, 1, 3)) for part in (query, key, value))
    scores = ops.matmul(query * query.shape[-1] ** -0.5, ops.transpose(key, (0, 1, 3, 2)))
    return ops.transpose(ops.matmul(ops.softmax(scores, axis=-1), value), (0, 2, 1, 3))
