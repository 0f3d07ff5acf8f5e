"""What XLA compiles holds no call back to the host and no unknown shape: it runs on a TPU unchanged."""

import re

import keras
import numpy as np
import pytest
from tiny import images, labels, make

BACKEND = keras.backend.backend()
FEW = (
    "SimCLR", "BYOL", "DINO", "MAE", "SwAV", "DeepClusterV2", "GroCo", "MMCR", "PSKD", "POA", "ProtoPNet",
    "FST",
)  # fmt: skip
# Eigenvalues, Cholesky factors and triangular systems are calls into the device's own library, on a processor
# into LAPACK.
OTHER_CALLS = r'custom_call @(?!lapack_(?:ssyevd|spotrf|strsm))\w+|custom_call_target=(?!"Eigh")\S+'
HOST = re.compile(OTHER_CALLS + r"|callback|infeed|outfeed|<=\d+|tensor<\?")


def compiled_text(model, shown):
    """The whole train step as XLA gets it, of images or ready views."""
    model.compile(keras.optimizers.AdamW(1e-3))
    batch = shown, labels(8)
    if BACKEND == "jax":
        import jax

        groups = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        state = tuple([variable.value for variable in group] for group in groups)
        return jax.jit(model.train_step).lower(state, batch).as_text()
    import tensorflow as tf

    model.jit_compile = True
    step = tf.function(model.train_step, jit_compile=True, autograph=False)
    return step.experimental_get_compiler_ir(keras.tree.map_structure(tf.constant, batch))(stage="hlo")


@pytest.mark.backends("tensorflow", "jax")  # Torch does not compile with XLA.
# With the views before it, in mixed precision; tests/contract has the steps of all methods on ready views,
# tests/views/test_views_pipelines.py the views of each kind.
@pytest.mark.parametrize("name", FEW)
def test_the_step_never_leaves_the_device(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make(name)
    finally:
        keras.config.set_dtype_policy("float32")
    shown = {"inputs": images(8), "sample_index": np.arange(8)} if model.needs_sample_index else images(8)
    text = compiled_text(model, shown)
    assert len(text) > 100_000
    assert not HOST.findall(text)


@pytest.mark.backends("jax")  # TensorFlow refuses to compile a call to Python.
def test_a_call_to_the_host_would_be_seen():
    import jax

    model = make("SimCLR")
    loss_terms = model.loss_terms

    def talking(*arguments):
        jax.debug.callback(lambda: None)
        return loss_terms(*arguments)

    model.loss_terms = talking
    assert HOST.findall(compiled_text(model, images(8)))
