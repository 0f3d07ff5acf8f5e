"""The counters of a run, and what is computed from them."""

import keras
import numpy as np
import pytest

from kerassl.training.clock import Clock

pytestmark = pytest.mark.backends("torch")


def clock(step=0, total=0, per_epoch=0, accumulate=1, seed=0):
    made = Clock(keras.layers.Layer(), seed)
    made.step.assign(step), made.total_steps.assign(total), made.steps_per_epoch.assign(per_epoch)
    made.batches_per_update = accumulate
    return made


def number(value):
    return float(keras.ops.convert_to_numpy(value))


def test_the_counters_are_weights_of_the_model():
    layer = keras.layers.Layer()
    Clock(layer, 0)
    assert [v.path.split("/")[-1] for v in layer.non_trainable_variables] == [
        "step", "total_steps", "steps_per_epoch",
    ]  # fmt: skip
    assert all(v.dtype == "int32" for v in layer.weights)


def test_updates_are_whole_groups_of_batches():
    made = clock(step=7, total=20, accumulate=3)
    assert number(made.update) == 2 and number(made.total_updates) == 6
    assert number(clock(step=7).total_updates) == np.iinfo("int32").max


def test_epochs():
    assert clock(step=7, per_epoch=3).epoch == 2
    # Of unknown length.
    assert clock(step=7).epoch == 7
    made = clock(step=5, per_epoch=3)
    assert [bool(number(made.before_epoch(e))) for e in (1, 5 / 3, 2)] == [False, False, True]


def test_a_ramp_is_linear_over_epochs_and_then_constant():
    for step, expected in ((0, 0.5), (5, 0.3), (10, 0.1), (99, 0.1)):
        assert number(clock(step, per_epoch=5).ramp(0.5, 0.1, 2)) == pytest.approx(expected)
    assert clock(3, per_epoch=5).ramp(0.5, 0.1, 0) == 0.1


def test_a_cosine_is_over_the_updates_of_the_run():
    for step, expected in ((0, 0.9), (10, 0.95), (20, 1.0)):
        assert number(clock(step, total=20).cosine(0.9, 1.0)) == pytest.approx(expected)
    # Without an end it stays where it began.
    assert number(clock(1000).cosine(0.9, 1.0)) == pytest.approx(0.9, abs=1e-6)


def test_seeds_differ_by_step_purpose_and_run_and_evaluation_repeats_itself():
    def drawn(made, purpose="masks", training=True):
        return keras.ops.convert_to_numpy(keras.random.normal((4,), seed=made.seed(purpose, training)))

    first = drawn(clock(1))
    np.testing.assert_array_equal(drawn(clock(1)), first)
    evaluated = drawn(clock(1), training=False)
    for other in (drawn(clock(2)), drawn(clock(1), "noise"), drawn(clock(1, seed=1)), evaluated):
        assert np.abs(other - first).min() > 0
    np.testing.assert_array_equal(drawn(clock(9), training=False), evaluated)
