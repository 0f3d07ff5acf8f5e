"""On TensorFlow without XLA around the step, XLA still fuses what lies between a ViT's matrix products."""

import keras
import numpy as np
import pytest
from tiny import images, labels, make

import kerassl

pytestmark = pytest.mark.backends("tensorflow")  # JAX compiles its step whole, torch runs its own kernels.


def fused_functions(model):
    """Functions within the train step that XLA is to compile."""
    import tensorflow as tf

    step = tf.function(model.train_step, autograph=False)
    graph = step.get_concrete_function(tuple(map(tf.constant, (images(8), labels(8))))).graph
    return [f.signature.name for f in graph.as_graph_def().library.function if f.attr["_XlaMustCompile"].b]


@pytest.mark.parametrize(("jit_compile", "fuses"), [("auto", True), (False, False)])
def test_the_step_fuses_unless_told_not_to_compile(jit_compile, fuses):
    model = make("MAE")
    model.compile(keras.optimizers.SGD(0.1), jit_compile=jit_compile)
    assert bool(fused_functions(model)) == fuses


def test_a_convolutional_encoder_has_nothing_to_fuse():
    model = make("SimCLR")
    model.compile(keras.optimizers.SGD(0.1))
    assert not fused_functions(model)


def test_fusing_changes_no_number():
    trained = []
    for jit_compile in ("auto", False):
        model = make("MAE")
        model.compile(keras.optimizers.SGD(0.1), jit_compile=jit_compile)
        model.fit(images(16), labels(16), batch_size=8, epochs=2, verbose=0)
        trained.append([keras.ops.convert_to_numpy(v) for v in model.trainable_variables])
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_a_large_models_update_is_the_same(monkeypatch):
    from kerassl.engine import tensorflow as engine

    trained, fused = [], []
    for many_weights in (0, engine.MANY_WEIGHTS):
        monkeypatch.setattr(engine, "MANY_WEIGHTS", many_weights)
        model = make("SimCLR")
        model.compile(kerassl.optimizers.AdamW(1e-3))
        fused.append(bool(fused_functions(model)))
        model.fit(images(16), labels(16), batch_size=8, epochs=2, verbose=0)
        variables = model.trainable_variables + model.optimizer.variables
        trained.append([keras.ops.convert_to_numpy(v) for v in variables])
    assert fused == [True, False]
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_embedding_and_export_are_not_compiled(tmp_path):
    import tensorflow as tf

    model = make("MAE")
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(images(8), labels(8), batch_size=8, verbose=0)
    path = model.export_encoder(tmp_path / "encoder")
    graph = tf.saved_model.load(path).signatures["serving_default"].graph
    assert not any(f.attr["_XlaMustCompile"].b for f in graph.as_graph_def().library.function)
    np.testing.assert_allclose(
        model.predict(images(8), verbose=0), keras.ops.convert_to_numpy(model(images(8))), atol=1e-5
    )


def test_a_saved_model_fuses_as_before(tmp_path):
    model = make("MAE")
    model.compile(keras.optimizers.SGD(0.1))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.asked_jit_compile == "auto"
    assert fused_functions(loaded)
