"""Matrix products on the processor by the fastest library at hand, whatever device trains."""

from collections.abc import Callable

import keras
import numpy as np

# Multiplications from which on a product is worth handing over.
LARGE = 2**31


def host_product(right: np.ndarray, rows: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function of float32 `(n, dim)` that multiplies it with the transpose of `right` in float32.

    Large products are TensorFlow's or JAX's where one of them is the backend: on processors whose widest
    instructions NumPy's BLAS does not use, the first takes half of its time. That of torch is no faster. They
    stay on the processor: an accelerator would round to fewer digits and would need room for the result.

    Args:
        right: float32 `(m, dim)`.
        rows: that will be multiplied with it in all.

    Returns:
        A function to float32 `(n, m)`, not to be written to.

    Example:
        >>> import numpy as np
        >>> from kerassl.engine import host_product
        >>> host_product(np.eye(2, dtype="float32"), rows=1)(np.array([[3.0, 4.0]], "float32")).tolist()
        [[3.0, 4.0]]
    """
    backend = keras.backend.backend()
    if rows * right.size >= LARGE and backend == "tensorflow":
        import tensorflow as tf

        with tf.device("CPU:0"):
            held = tf.constant(right)

        def product(left: np.ndarray):
            with tf.device("CPU:0"):
                return np.from_dlpack(tf.matmul(left, held, transpose_b=True))

        return product
    if rows * right.size >= LARGE and backend == "jax":
        import jax

        try:
            processor = jax.local_devices(backend="cpu")[0]
        except RuntimeError:
            # JAX was started for an accelerator alone.
            return lambda left: left @ right.T
        held = jax.device_put(np.ascontiguousarray(right.T), processor)
        return lambda left: np.asarray(jax.numpy.matmul(jax.device_put(left, processor), held))
    return lambda left: left @ right.T
