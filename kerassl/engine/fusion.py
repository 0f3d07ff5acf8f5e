"""Small functions that XLA fuses inside a TensorFlow step which it does not compile whole."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

from keras import KerasTensor

_compiled: contextvars.ContextVar[dict | None] = contextvars.ContextVar("compiled", default=None)


@contextlib.contextmanager
def fusing() -> Iterator[None]:
    """Within it `fused` compiles; entered by the TensorFlow step while it is traced."""
    token = _compiled.set({})
    try:
        yield
    finally:
        _compiled.reset(token)


def fused(function: Callable, *tensors: KerasTensor) -> KerasTensor:
    """`function(*tensors)`, as one loop over memory where TensorFlow would make one an operation.

    On a CPU TensorFlow's own matrix products are the faster ones, in bfloat16 by a factor of two, so its step
    is not compiled whole; what lies between them waits for memory, and XLA walks through it once. Under
    XLA, on JAX and on torch this is a plain call, and so it is outside training, where models are saved
    and exported.

    Args:
        function: pure function of tensors, without matrix products, made once (it is the key of a cache).
        *tensors: its arguments.
    """
    compiled = _compiled.get()
    if compiled is None:
        return function(*tensors)
    import tensorflow as tf

    tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
    # Each shape has a function of its own: XLA needs known shapes, and `tf.function` warns of a change.
    key = (function, *((tuple(tensor.shape), tensor.dtype) for tensor in tensors))
    if key not in compiled:
        compiled[key] = tf.function(function, jit_compile=True)
    return compiled[key](*tensors)
