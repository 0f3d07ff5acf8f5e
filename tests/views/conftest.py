import keras
import pytest


@pytest.fixture(autouse=True, scope="module")
def unoptimized_jax():
    """These tests compile much and compute little."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
