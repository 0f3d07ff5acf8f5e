"""What the tests compile on JAX as one piece, since each of its eager operations is compiled on first use."""

import functools

import keras


def compiled_on_jax(function):
    """The function, compiled on JAX, there of arrays and of keyword arguments that can be hashed."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    compiled = functools.cache(lambda **kwargs: jax.jit(functools.partial(function, **kwargs)))
    return lambda *arrays, **kwargs: compiled(**kwargs)(*arrays)
