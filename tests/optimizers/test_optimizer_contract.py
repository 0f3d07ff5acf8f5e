"""What holds for every optimizer: what is decayed, accumulation, clipping, mixed precision, saving."""

import keras
import numpy as np
import pytest
from optimizer_helpers import (
    MODES,
    assert_trajectories_equal,
    model_of_all_kinds,
    moved_from_one,
    random_steps,
    tiny_model,
    trajectory,
)

from kerassl.optimizers import LARS, SGD, AdamW, decayed_variables
from kerassl.schedules import Cosine, Linear

MAKERS = {
    "lars": lambda **kw: LARS(Linear(0.5, 0.1, 8), weight_decay=0.1, trust_coefficient=0.1, **kw),
    "sgd": lambda **kw: SGD(Linear(0.05, 0.01, 8), weight_decay=0.1, nesterov=True, **kw),
    "adamw": lambda **kw: AdamW(Linear(0.1, 0.05, 8), Cosine(0.5, 5.0, 8), **kw),
}
every_optimizer = pytest.mark.parametrize("name", MAKERS)


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 4)).astype("float32"), rng.normal(size=(8, 2)).astype("float32")


KERNELS = ["model/conv/kernel", "model/heads/kernel", "model/head/kernel"]


def test_decayed_variables_of_a_model():
    model = model_of_all_kinds()
    assert [v.path for v in decayed_variables(model)] == KERNELS
    left_out = {v.path for v in model.trainable_variables} - set(KERNELS)
    assert left_out == {
        f"model/{v}" for v in ("conv/bias", "norm/gamma", "norm/beta", "heads/bias", "head/bias")
    }
    assert len(model.get_layer("heads").bias.shape) == 2
    assert [v.path for v in decayed_variables(model.layers[0].variables)] == KERNELS[:1]


def test_only_decayed_variables_move_without_a_gradient():
    assert moved_from_one(LARS(1.0, weight_decay=0.5)) == KERNELS
    assert moved_from_one(AdamW(0.1, 0.5)) == KERNELS
    assert moved_from_one(SGD(0.1, weight_decay=0.5, decay_bias_and_norm=False)) == KERNELS


def test_all_variables_are_decayed_when_told():
    everything = [v.path for v in model_of_all_kinds().trainable_variables]
    assert moved_from_one(SGD(0.1, weight_decay=0.5)) == everything
    assert moved_from_one(AdamW(0.1, 0.5, decay_bias_and_norm=True)) == everything


@every_optimizer
def test_config_round_trip_gives_the_same_steps(name):
    optimizer = MAKERS[name](clipnorm=1.0, name="mine")
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer) and again.get_config() == optimizer.get_config()
    steps = random_steps([(3, 4), (4,)], 3)
    assert_trajectories_equal(trajectory(again, *steps), trajectory(optimizer, *steps), rtol=1e-7)


@every_optimizer
def test_accumulated_gradients_are_averaged(name):
    start, gradients = random_steps([(3, 4), (4,)], 4)
    optimizer = MAKERS[name](gradient_accumulation_steps=2)
    found = trajectory(optimizer, start, gradients, compiled=MODES[-1])
    assert int(optimizer.iterations) == 2
    np.testing.assert_allclose(found[0][0], start[0], rtol=1e-6)
    np.testing.assert_array_equal(found[1][0], found[2][0])

    means = [[(a + b) / 2 for a, b in zip(*pair, strict=True)] for pair in (gradients[:2], gradients[2:])]
    constant = {
        "lars": lambda **kw: LARS(0.5, weight_decay=0.1, trust_coefficient=0.1, **kw),
        "sgd": lambda **kw: SGD(0.5, weight_decay=0.1, **kw),
        "adamw": lambda **kw: AdamW(0.1, 0.5, **kw),
    }[name]
    accumulated = trajectory(constant(gradient_accumulation_steps=2), start, gradients, compiled=MODES[-1])
    assert_trajectories_equal(accumulated[1::2], trajectory(constant(), start, means))


def test_schedules_count_batches_under_accumulation():
    start, gradients = [np.ones((1, 1))], [[np.zeros((1, 1))]] * 2
    optimizer = AdamW(0.1, Linear(1.0, 3.0, 2), gradient_accumulation_steps=2)
    assert trajectory(optimizer, start, gradients)[-1][0][0, 0] == pytest.approx(1 - 0.1 * 2.0, rel=1e-6)


def test_clipping_comes_before_the_coupled_decay():
    found = trajectory(SGD(1.0, weight_decay=1.0, clipnorm=1.0), [np.ones((1, 1))], [[[[10.0]]]])
    assert found[0][0][0, 0] == pytest.approx(1 - (1 + 1))


@every_optimizer
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_training_moves_finite_weights(name, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny_model()
        model.compile(MAKERS[name](), "mse")
        start = [w.copy() for w in model.get_weights()]
        model.fit(*data(), batch_size=4, epochs=2, verbose=0)
    finally:
        keras.config.set_dtype_policy(before)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    if policy == "mixed_bfloat16":
        assert all((a != b).any() for a, b in zip(start, model.get_weights(), strict=True))


@every_optimizer
def test_saved_training_continues_as_if_never_stopped(name, tmp_path):
    x, y = data()
    model = tiny_model()
    model.compile(MAKERS[name](), "mse")
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is type(model.optimizer) and int(again.optimizer.iterations) == 4
    for each in (model, again):
        each.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@every_optimizer
def test_embedding_tables_train(name):
    model = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(5, 2)])
    model.compile(MAKERS[name](), "mse")
    model.fit(np.array([[0, 1, 1]]), np.ones((1, 3, 2)), epochs=2, verbose=0)
    assert np.isfinite(model.get_weights()[0]).all()
