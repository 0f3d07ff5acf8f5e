"""What DESIGN asks of every method, on the backend that runs."""

import contextlib

import keras
import numpy as np
import pytest
from tiny_methods import METHODS, accuracy_of, images, labels, make, ready_views, state

import kerassl

BACKEND = keras.backend.backend()
# With negatives, a teacher and a centre, tokens, a queue, prototypes and work between epochs: for what takes
# long to compile. All methods train on every backend in tests/parity, in float32, and on TensorFlow XLA
# compiles all in mixed precision in tests/engine.
FEW = ("SimCLR", "DINO", "MAE", "MoCoV2", "DeepClusterV2")
of_the_base_class = pytest.mark.parametrize("name", ("SimCLR", "DINO"))


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


@pytest.mark.parametrize("name", METHODS if BACKEND == "torch" else FEW)
def test_trains_evaluates_embeds_and_goes_on_from_a_file(name, tmp_path):
    """One life of each method, in one model, since what takes the time is to compile its step."""
    with policy("float32" if BACKEND == "torch" else "mixed_bfloat16"):
        model = make(name)
    before = state(model)
    schedule = kerassl.schedules.WarmupCosine(1e-2, 6, warmup_steps=2)
    model.compile(kerassl.optimizers.AdamW(schedule))
    # 17 = 8 + 8 + 1: a last batch of one trains, too. On JAX it would be compiled anew.
    count = 24 if BACKEND == "jax" else 17
    history = model.fit(images(count), labels(count), batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    terms = (
        {mean.name for mean in model.step_metrics.term_means}
        if len(model.step_metrics.term_means) > 1
        else set()
    )
    terms |= {"prototype_entropy", "dead_prototypes"} if model.step_metrics.usages else set()
    assert {"loss", "feature_std", "effective_rank", accuracy_of(model)} | terms == set(history)
    assert (
        int(model.clock.step) == 6
        and int(model.clock.total_steps) == 6
        and int(model.clock.steps_per_epoch) == 3
    )
    encoder = [v.path for v in model.encoder.trainable_variables]
    trained = state(model)
    assert any(np.abs(trained[path] - before[path]).max() > 1e-4 for path in encoder)
    assert all(np.isfinite(value).all() for value in trained.values())
    assert all(v.dtype == "float32" for v in model.trainable_variables)

    scores = model.evaluate(images(16), labels(16), batch_size=8, verbose=0)
    assert model.evaluate(images(16), labels(16), batch_size=8, verbose=0) == scores
    assert {"loss", "feature_std", "effective_rank", accuracy_of(model), "rankme"} | terms == set(scores)
    assert all(np.isfinite(list(scores.values())))
    assert 1 <= scores["rankme"] <= model.feature_dim + 1e-3
    assert tuple(model.predict(images(5), verbose=0).shape) == (5, model.feature_dim)
    for path, value in state(model).items():
        np.testing.assert_array_equal(value, trained[path], err_msg=path)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.dtype_policy.name for layer in loaded._flatten_layers()] == [
        layer.dtype_policy.name for layer in model._flatten_layers()
    ]
    for each in (model, loaded):
        each.fit(images(16), labels(16), batch_size=8, epochs=3, initial_epoch=2, verbose=0)
    assert int(loaded.clock.step) == 8
    for (where, value), other in zip(state(model).items(), state(loaded).values(), strict=True):
        np.testing.assert_array_equal(value, other, err_msg=where)
    for variable, other in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(variable, other, err_msg=variable.path)


@pytest.mark.parametrize("name", METHODS if BACKEND == "torch" else ("SimCLR", "DINO"))
def test_mixed_bfloat16_trains_with_a_float32_loss(name):
    with policy("mixed_bfloat16"):
        model = make(name, views=None)
    # XLA takes every method's step in tests/engine/test_compiled_step.py; here it runs what it made.
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=BACKEND != "torch")
    loss, _ = model.forward_pass((ready_views(name), labels(8)), training=True)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    history = fit(model, name, epochs=2)
    assert np.isfinite(history.history["loss"]).all()
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
def test_unlabelled_images_train_and_leave_the_probe_alone(name):
    model = make(name, views=None)
    model.compile(keras.optimizers.SGD(0.1))
    kernel = keras.ops.convert_to_numpy(model.probe.kernel)
    model.fit(ready_views(name), np.full(8, -1), batch_size=8, verbose=0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.probe.kernel), kernel)
    history = model.fit(ready_views(name), batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert "probe_accuracy" not in history.history


@pytest.mark.parametrize("name", ("BYOL", "DINO"))
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


@pytest.mark.skipif(BACKEND == "torch", reason="Keras: steps_per_execution must be 1 on PyTorch")
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
