import math

import keras
import numpy as np
import pytest
from keras import ops

from kerassl import schedules
from kerassl.schedules import Cosine, InfiniteLearningRate, Linear, WarmupCosine


def values(schedule, steps):
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize(
    "function, table",
    [
        (schedules.linear, {0: 2.0, 1: 1.8, 5: 1.0, 10: 0.0, 15: 0.0}),
        (schedules.cosine, {0: 2.0, 1: 1 + math.cos(math.pi / 10), 5: 1.0, 10: 0.0, 15: 0.0}),
    ],
)
def test_scalar_functions_by_table(function, table):
    for step, expected in table.items():
        assert float(function(2.0, 0.0, step, 10)) == pytest.approx(expected, abs=1e-6)
        value = function(2.0, 0.0, ops.convert_to_tensor(step, "int32"), ops.convert_to_tensor(10))
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert float(value) == pytest.approx(expected, abs=1e-6)


def test_teacher_momentum_starts_and_ends_exactly_and_never_falls():
    momenta = [float(schedules.cosine(0.996, 1.0, step, 300)) for step in range(302)]
    assert momenta[0] == np.float32(0.996) and momenta[300] == momenta[301] == 1.0
    assert all(a <= b for a, b in zip(momenta, momenta[1:], strict=False))


def test_cosine_is_symmetric_about_the_middle():
    for step in range(11):
        assert float(schedules.cosine(0, 1, step, 10)) + float(schedules.cosine(0, 1, 10 - step, 10)) == (
            pytest.approx(1.0, abs=1e-6)
        )


def test_warmup_cosine_by_table():
    rate = WarmupCosine(peak=0.8, total_steps=110, warmup_steps=10, final=0.2, initial=0.1)
    table = {0: 0.1, 1: 0.17, 5: 0.45, 9: 0.73, 10: 0.8, 35: 0.2 + 0.3 * (1 + math.cos(math.pi / 4)),
             60: 0.5, 110: 0.2, 500: 0.2}  # fmt: skip
    assert values(rate, table) == pytest.approx(list(table.values()), rel=1e-5)
    assert float(rate(10)) == np.float32(0.8) and float(rate(110)) == np.float32(0.2)


def test_warmup_cosine_without_warmup_starts_at_the_peak():
    assert values(WarmupCosine(0.5, total_steps=4), range(5)) == pytest.approx(
        [0.25 * (1 + math.cos(math.pi * t / 4)) for t in range(5)], abs=1e-7
    )


def test_cosine_and_linear_schedules_are_the_functions():
    steps = (0, 3, 7, 10, 12)
    assert values(Cosine(0.04, 0.4, 10), steps) == pytest.approx(
        [float(schedules.cosine(0.04, 0.4, s, 10)) for s in steps]
    )
    assert values(Linear(0.04, 0.07, 10), steps) == pytest.approx([0.04, 0.049, 0.061, 0.07, 0.07], rel=1e-5)


COOLDOWN_MIDDLE = {
    "cosine": 5.5e-4,
    "linear": 5.5e-4,
    "inverse_sqrt": 1e-3 - 9e-4 * (1 / math.sqrt(6) - 1) / (1 / math.sqrt(11) - 1),
}


@pytest.mark.parametrize("cooldown", COOLDOWN_MIDDLE)
def test_infinite_learning_rate_by_table(cooldown):
    rate = InfiniteLearningRate(peak=1e-3, constant=1e-4, final=1e-5, total_steps=1000, cooldown=cooldown)
    table = {0: 0.0, 25: 5e-4, 50: 1e-3, 100: COOLDOWN_MIDDLE[cooldown], 150: 1e-4, 400: 1e-4, 800: 1e-4,
             900: math.sqrt(1e-9), 1000: 1e-5, 1500: 1e-5}  # fmt: skip
    assert values(rate, table) == pytest.approx(list(table.values()), rel=2e-5, abs=1e-9)


def test_infinite_learning_rate_of_a_later_task():
    rate = InfiniteLearningRate(1e-3, 1e-4, 1e-5, total_steps=100, first_task=False, start_step=80)
    table = {80: 1e-4, 85: 1e-4, 160: 1e-4, 170: math.sqrt(1e-9), 180: 1e-5}
    assert values(rate, table) == pytest.approx(list(table.values()), rel=2e-5)


SCHEDULES = [
    Linear(1.0, 0.5, 10),
    Cosine(0.04, 0.4, 10),
    WarmupCosine(0.8, 10, warmup_steps=3, final=0.1, initial=0.2),
    InfiniteLearningRate(1e-3, 1e-4, 1e-5, 20, cooldown="linear", first_task=False, start_step=2),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_config_round_trip(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule) and again.get_config() == schedule.get_config()
    assert values(again, range(0, 25, 4)) == values(schedule, range(0, 25, 4))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_optimizers_evaluate_schedules_in_float32(schedule):
    optimizer = keras.optimizers.SGD(schedule)
    variable = keras.Variable([0.0])
    for _ in range(3):
        optimizer.apply([ops.ones((1,))], [variable])
    assert keras.backend.standardize_dtype(optimizer.learning_rate.dtype) == "float32"
    expected = -np.sum(values(schedule, range(3)))
    assert ops.convert_to_numpy(variable)[0] == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: schedules.cosine(0, 1, 3, 0), "total_steps=0 must be positive"),
        (lambda: schedules.linear(0, 1, 3, -1), "total_steps=-1 must be positive"),
        (lambda: Linear(0, 1, 0), "total_steps must be >= 1, got 0"),
        (lambda: Cosine(0, 1, float("nan")), "total_steps must be an integer >= 1, got nan"),
        (lambda: WarmupCosine(1.0, 10, warmup_steps=10), "warmup_steps=10 must be .* below total_steps=10"),
        (lambda: WarmupCosine(1.0, 10, warmup_steps=-1), "warmup_steps must be >= 0, got -1"),
        (lambda: InfiniteLearningRate(1e-3, 1e-4, 0.0, 100), "final=0.0 must all be positive"),
        (lambda: InfiniteLearningRate(1e-3, 1e-4, 1e-5, 100, warmup_end=0.2), "increase strictly"),
        (lambda: InfiniteLearningRate(1e-3, 1e-4, 1e-5, 100, cooldown="cosin"), "Did you mean 'cosine'"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
