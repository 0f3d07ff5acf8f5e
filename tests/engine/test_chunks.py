import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, tiny_encoder, tiny_vit

import kerassl
from kerassl.engine import encode_in_chunks

BACKEND = keras.backend.backend()
once = pytest.mark.backends("torch")


def pictures(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 16, 16, 3)).astype("float32")


@pytest.mark.parametrize(
    ("chunk_size", "jit_compile"),
    [
        (2, False),
        pytest.param(16, False, marks=once),
        pytest.param(4, True, marks=pytest.mark.backends("tensorflow", "jax")),
    ],
)
def test_a_step_in_chunks_is_the_step_of_the_whole_batch(chunk_size, jit_compile):
    after = []
    for size in (None, chunk_size):
        keras.utils.set_random_seed(1)
        # No batch norm in the encoder; that of the projection head sees the whole batch.
        model = kerassl.methods.SimCLR(tiny_vit(), views=None, projection_dim=8, num_classes=3)
        model.compile(keras.optimizers.SGD(0.1), chunk_size=size, jit_compile=jit_compile)
        views = ready_views("SimCLR", 16)
        loss = model.fit(views, labels(16), batch_size=16, verbose=0).history["loss"][0]
        after.append((loss, model.get_weights()))
    assert after[1][0] == pytest.approx(after[0][0], rel=1e-5)
    for whole, chunked in zip(after[0][1], after[1][1], strict=True):
        np.testing.assert_allclose(chunked, whole, rtol=1e-4, atol=1e-5)


def test_batch_norm_sees_chunks_one_after_the_other():
    keras.utils.set_random_seed(0)
    encoder, x = tiny_encoder(), pictures(12)
    before = encoder.get_weights()
    expected = np.empty((12, encoder.output_shape[-1]), "float32")
    for i in range(3):
        expected[i::3] = keras.ops.convert_to_numpy(encoder(x[i::3], training=True))
    moved = encoder.get_weights()
    encoder.set_weights(before)
    found = keras.ops.convert_to_numpy(encode_in_chunks(encoder, keras.ops.convert_to_tensor(x), 4))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(encoder.get_weights(), moved, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["BYOL", pytest.param("DINO", marks=once)])
def test_methods_train_in_chunks(name, capsys):
    model = make(name)
    model.compile(keras.optimizers.SGD(0.01), chunk_size=4)
    history = model.fit(images(18), labels(18), batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert int(keras.ops.convert_to_numpy(model.clock.step)) == 4
    assert (
        "last batch of 2 images does not cut evenly into chunks of 4; it is left out"
        in capsys.readouterr().out
    )


@pytest.mark.backends("jax")  # JAX tells what a compiled function needs.
def test_memory_is_that_of_a_chunk():
    import jax

    encoder, x = tiny_vit(), pictures(64)
    variables = encoder.trainable_variables

    def bytes_needed(run):
        def loss(values):
            mapping = list(zip(variables, values, strict=True))
            mapping += [(v, v.value) for v in encoder.non_trainable_variables]
            with keras.StatelessScope(state_mapping=mapping):
                return keras.ops.sum(keras.ops.square(run()))

        compiled = jax.jit(jax.grad(loss)).lower([v.value for v in variables]).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    whole = bytes_needed(lambda: encoder(x, training=True))
    chunked = bytes_needed(lambda: encode_in_chunks(encoder, x, 4))
    assert chunked < whole / 3


def test_what_does_not_fit_is_refused():
    model = make("SimCLR")
    with pytest.raises(ValueError, match="chunk_size must be >= 1 or None, got 0"):
        model.compile(chunk_size=0)
    with pytest.raises(ValueError, match="not for MAE.*gradient_accumulation_steps"):
        make("MAE").compile(chunk_size=4)
    model.compile(chunk_size=3)
    with pytest.raises(ValueError, match="A batch of 8 .* into chunks of 3; the nearest that do are 6, 9"):
        model.fit(images(16), batch_size=8, verbose=0)


def test_a_saved_model_keeps_its_chunks(tmp_path):
    model = make("SimCLR")
    model.compile(chunk_size=4)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").chunk_size == 4
