"""What is asked of every method, in one life of it on each backend.

Its first step is the one that tests/parity compares between backends and tests/distributed between devices.
Everything else that a method does is Keras' and the base class's, whose code is the same on all backends:
it is asked of every method on torch, which takes a step piece by piece soonest, of some on the others.
"""

import contextlib
import os
import pathlib
import re

import keras
import numpy as np
import pytest
from one_step import BATCH, first_batch, one_step
from tiny import METHODS, WITHOUT_CHANCE, accuracy_of, images, labels, make, state

import kerassl
from kerassl.objectives import SwappedPrototypes

BACKEND = keras.backend.backend()
# With negatives, a teacher and a centre, tokens, a queue, prototypes and work between epochs.
FEW = ("SimCLR", "DINO", "MAE", "MoCoV2", "DeepClusterV2")
# Eigenvalues, Cholesky factors and triangular systems are calls into the device's own library, on a processor
# into LAPACK. `jax.export` refuses what is not kept stable on other platforms.
HOST = re.compile(
    r"custom_call @(?!lapack_(?:ssyevd|spotrf|strsm)(?:_ffi)?\b)\w+|callback|infeed|outfeed|tensor<\?"
)
ELSEWHERE = re.compile(r"callback|infeed|outfeed|tensor<\?")


@contextlib.contextmanager
def policy(name):
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("name", (*METHODS, *WITHOUT_CHANCE))
def test_first_step(name):
    model, made, lowered = one_step(name)
    keep(name, made)
    assert np.isfinite(made["loss"]) and 0 <= made["accuracy"] <= 1
    assert all(np.isfinite(value).all() for value in made.values())
    assert int(model.clock.step) == 1
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)
    if BACKEND == "jax":
        # Nothing leaves the device in the whole step, and TPUs and GPUs have all of it.
        assert not HOST.findall(lowered["cpu"])
        assert not ELSEWHERE.findall(lowered["tpu and cuda"])
    if BACKEND != "jax" and name in METHODS:
        low_precision_has_a_float32_loss_near_by(model, name)
    if BACKEND == "torch" and name in METHODS:
        an_objective_leaves_its_terms_as_they_are(model, name)


def keep(name, made):
    """Leaves the step for tests/parity and tests/distributed, where `make test` compares them."""
    folder = os.environ.get("KERASSL_TEST_STEPS")
    if folder:
        path = pathlib.Path(folder, BACKEND, f"{name}.npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **made)


def an_objective_leaves_its_terms_as_they_are(model, name):
    both = make(name, views=None)
    both.set_weights(model.get_weights())
    both.attach(SwappedPrototypes(num_prototypes=8, projection_dim=6))
    both.compile()
    _, plain = model.forward_pass(first_batch(name), training=True)
    _, record = both.forward_pass(first_batch(name), training=True)
    assert both.step_metrics.terms == (*model.step_metrics.terms, "swapped_prototypes")
    *terms, swapped = map(numpy, record.terms)
    for term, value, expected in zip(model.step_metrics.terms, terms, plain.terms, strict=True):
        np.testing.assert_allclose(value, numpy(expected), rtol=1e-5, err_msg=term)
    # Cosines in [-1, 1] over a temperature of 0.1.
    assert 0 < float(swapped) < 20 + np.log(8)
    assert numpy(record.attached[0].assignments).shape == (BATCH,)


def low_precision_has_a_float32_loss_near_by(model, name):
    with policy("mixed_bfloat16"):
        low = make(name, views=None)
    low.set_weights(model.get_weights())
    low.compile(keras.optimizers.SGD(0.05), run_eagerly=True)
    batch = first_batch(name)
    loss, _ = low.forward_pass(batch, training=True)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    expected, _ = model.forward_pass(batch, training=True)
    assert float(numpy(loss)) == pytest.approx(float(numpy(expected)), rel=0.1, abs=0.1)
    logs = low.fit(*batch[:2], batch_size=BATCH, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert all(variable.dtype == "float32" for variable in low.trainable_variables)


@pytest.mark.parametrize("name", METHODS if BACKEND == "torch" else FEW)
def test_trains_evaluates_embeds_and_goes_on_from_a_file(name, tmp_path):
    with policy("float32" if BACKEND == "torch" else "mixed_bfloat16"):
        model = make(name)
    before = state(model)
    schedule = kerassl.schedules.WarmupCosine(1e-2, 6, warmup_steps=2)
    model.compile(kerassl.optimizers.AdamW(schedule))
    # 17 = 8 + 8 + 1: a last batch of one trains, too. On JAX it would be compiled anew.
    count = 24 if BACKEND == "jax" else 17
    history = model.fit(images(count), labels(count), batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    metrics = model.step_metrics
    terms = set(metrics.terms) if len(metrics.terms) > 1 else set()
    terms |= {"prototype_entropy", "dead_prototypes"} if metrics.usages else set()
    assert {"loss", "feature_std", "effective_rank", accuracy_of(model)} | terms == set(history)
    clock = model.clock
    assert [int(v) for v in (clock.step, clock.total_steps, clock.steps_per_epoch)] == [6, 6, 3]
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
