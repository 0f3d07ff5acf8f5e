"""What the base class does for every method, on two of them."""

import contextlib

import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, state

import kerassl

BACKEND = keras.backend.backend()
once = pytest.mark.backends("torch")
# The base class's own is compiled with one method, and asked of one more where a step is soonest taken.
of_the_base_class = pytest.mark.parametrize("name", ("SimCLR", pytest.param("DINO", marks=once)))


@contextlib.contextmanager
def policy(name):
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def fit(model, name, epochs=1, n=8, batch_size=8, **kwargs):
    return model.fit(
        ready_views(name, n),
        labels(n),
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        **kwargs,
    )


@pytest.mark.backends("tensorflow", "jax")  # On torch every method does: test_life.py.
@pytest.mark.parametrize("name", ("SimCLR", "DINO"))
def test_mixed_bfloat16_trains_compiled_with_a_float32_loss(name):
    with policy("mixed_bfloat16"):
        model = make(name, views=None)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=True)
    loss, _ = model.forward_pass((ready_views(name), labels(8)), training=True)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert np.isfinite(fit(model, name, epochs=2).history["loss"]).all()
    assert all(v.dtype == "float32" for v in model.trainable_variables)


def test_mixed_float16_scales_the_loss_and_stays_finite():
    with policy("mixed_float16"):
        model = make("SimCLR", views=None, temperature=0.05)
    model.compile(keras.optimizers.Adam(1e-3))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    before = keras.ops.convert_to_numpy(model.trainable_variables[0])
    # The first scales from 2**15 down overflow: such an update is skipped, and the scale halved.
    history = fit(model, "SimCLR", epochs=30)
    assert np.isfinite(history.history["loss"]).all()
    after = keras.ops.convert_to_numpy(model.trainable_variables[0])
    assert np.isfinite(after).all() and np.abs(after - before).max() > 0


@of_the_base_class
def test_the_probe_never_moves_the_method(name):
    states = []
    for num_classes in (None, 3):
        model = make(name, views=None, num_classes=num_classes)
        model.compile(keras.optimizers.SGD(0.1, global_clipnorm=0.1))
        fit(model, name, epochs=2)
        states.append([keras.ops.convert_to_numpy(v) for v in model.trainable_variables])
    for without, with_probe in zip(*states, strict=True):
        # Two programs may round differently.
        np.testing.assert_allclose(without, with_probe, atol=1e-6)


@of_the_base_class
def test_unlabeled_images_train_and_leave_the_probe_alone(name):
    model = make(name, views=None)
    model.compile(keras.optimizers.SGD(0.1))
    kernel = keras.ops.convert_to_numpy(model.probe.kernel)
    model.fit(ready_views(name), np.full(8, -1), batch_size=8, verbose=0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.probe.kernel), kernel)
    history = model.fit(ready_views(name), batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert "probe_accuracy" not in history.history


@pytest.mark.parametrize("name", ("BYOL", pytest.param("DINO", marks=once)))
def test_state_moves_once_per_optimizer_update(name):
    model = make(name, views=None)
    model.compile(keras.optimizers.SGD(0.5, gradient_accumulation_steps=2))
    teacher = [keras.ops.convert_to_numpy(v) for v in model.teacher_encoder.weights]
    fit(model, name, n=8, batch_size=8)
    for before, variable in zip(teacher, model.teacher_encoder.weights, strict=True):
        if "moving" not in variable.path:
            np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(variable), err_msg=variable.path)
    assert int(model.clock.step) == 1 and int(model.optimizer.iterations) == 0
    if name == "DINO":
        assert not keras.ops.convert_to_numpy(model.center).any()
    fit(model, name, n=24, batch_size=8)
    assert (
        int(model.clock.step) == 4 and int(model.optimizer.iterations) == 2 and int(model.clock.update) == 2
    )
    kernels = [v for v in model.teacher_encoder.weights if "kernel" in v.path]
    assert any(
        np.abs(keras.ops.convert_to_numpy(v) - b).max() > 0 for v, b in zip(kernels, teacher, strict=False)
    )


@pytest.mark.backends("tensorflow", "jax")  # Keras: steps_per_execution must be 1 on PyTorch.
def test_steps_per_execution_changes_nothing():
    states = []
    for steps in (1, 3):
        model = make("BYOL", views=None)
        model.compile(keras.optimizers.SGD(0.1), steps_per_execution=steps)
        fit(model, "BYOL", epochs=2, n=32)
        states.append(state(model))
    assert int(model.clock.step) == 8
    for (path, value), other in zip(states[0].items(), states[1].values(), strict=True):
        np.testing.assert_allclose(other, value, atol=1e-6, err_msg=path)


@of_the_base_class
def test_clipping_bounds_the_update(name):
    model = make(name, views=None)
    model.compile(keras.optimizers.SGD(1.0, global_clipnorm=1e-3))
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    fit(model, name)
    moved = [
        keras.ops.convert_to_numpy(v) - b for v, b in zip(model.trainable_variables, before, strict=True)
    ]
    assert 0 < np.sqrt(sum(np.sum(np.square(m)) for m in moved)) <= 1.01e-3


@pytest.mark.parametrize("channels", (1, 4))
def test_other_numbers_of_channels(channels):
    encoder = kerassl.backbones.resnet18((16, 16, channels), stem="small", width=4)
    model = kerassl.methods.SimCLR(encoder, projection_dim=8)
    model.compile(keras.optimizers.SGD(0.1))
    batch = np.random.default_rng(0).integers(0, 256, (8, 16, 16, channels)).astype("uint8")
    assert np.isfinite(model.fit(batch, batch_size=8, verbose=0).history["loss"]).all()


def test_two_steps_and_two_samples_see_different_views():
    model = make("SimCLR")
    seen = {}
    for step in (0, 1):
        rng = kerassl.engine.StepSeed(0, step)
        same = np.repeat(images(1), 4, axis=0)
        seen[step] = [keras.ops.convert_to_numpy(view) for view in model.views(same, seed=rng)]
    assert np.abs(seen[0][0] - seen[1][0]).max() > 0.1
    assert np.abs(seen[0][0] - seen[0][1]).max() > 0.1
    assert len({view.tobytes() for view in seen[0][0]}) == 4
