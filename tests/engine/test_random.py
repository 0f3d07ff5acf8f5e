import keras
import numpy as np

from kerassl.engine import StepSeed


def draw(seed, step, replica=0, draws=1):
    rng = StepSeed(seed, step, replica)
    return [keras.ops.convert_to_numpy(keras.random.uniform((64,), seed=rng)) for _ in range(draws)]


def test_numbers_are_a_function_of_seed_step_replica_and_draw():
    np.testing.assert_array_equal(draw(3, 7, 1, draws=2)[1], draw(3, 7, 1, draws=2)[1])
    base, second = draw(3, 7, 1, draws=2)
    for other in (second, draw(4, 7, 1)[0], draw(3, 8, 1)[0], draw(3, 7, 0)[0]):
        assert np.abs(base - other).max() > 0.1
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.5


def test_a_tensor_step_is_as_good_as_a_number():
    np.testing.assert_array_equal(draw(0, 5)[0], draw(0, keras.ops.convert_to_tensor(5, "int32"))[0])


def test_a_million_steps_stay_distinct():
    first = [draw(0, step)[0][0] for step in (0, 1, 2**19, 2**20, 10**6, -1)]
    assert len(set(first)) == len(first)


def test_draws_are_uniform_over_steps():
    sample = np.concatenate([draw(0, step)[0] for step in range(50)])
    assert abs(sample.mean() - 0.5) < 0.02 and abs(sample.std() - 12**-0.5) < 0.02
