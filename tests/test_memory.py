import keras
import numpy as np
import pytest

from kerassl.batch import Batch
from kerassl.memory import FeatureQueue, LabeledQueue, SampleMemory, rows_of


def rows(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3)).astype("float32")


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def held(queue):
    return keras.ops.convert_to_numpy(queue.features)


@pytest.mark.parametrize("batches", [(2, 2, 2), (3, 3, 3), (7,), (2, 7, 3), (5, 1, 12)])
def test_holds_the_last_rows_in_the_places_of_their_turn(batches):
    queue = FeatureQueue(5, 3)
    came = rows(sum(batches))
    start = 0
    for batch in batches:
        queue.enqueue(came[start : start + batch])
        start += batch
    expected = held(FeatureQueue(5, 3))
    for turn, row in enumerate(unit(came)):
        expected[turn % 5] = row
    np.testing.assert_allclose(held(queue), expected, atol=1e-6)
    assert int(queue.position) == start % 5


def test_starts_with_unit_rows_of_its_seed():
    first, same, other = (held(FeatureQueue(6, 3, seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0.1
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)


def test_nearest_is_by_direction_not_by_length():
    queue = FeatureQueue(3, 3)
    queue.enqueue(np.diag([1.0, 100.0, 0.01]))
    x = np.array([[2.0, 1.0, 0.0], [0.0, 0.1, 0.2]])
    np.testing.assert_allclose(queue.nearest(x), np.eye(3)[[0, 2]], atol=1e-6)


def test_neighbors_come_nearest_first_and_begin_with_the_nearest():
    queue, x = FeatureQueue(20, 3), 2 * rows(4, seed=5)
    near = keras.ops.convert_to_numpy(queue.neighbors(x, 3))
    expected = [held(queue)[np.argsort(-held(queue) @ row)[:3]] for row in x]
    np.testing.assert_allclose(near, expected, atol=1e-6)
    np.testing.assert_allclose(near[:, 0], queue.nearest(x), atol=1e-6)


def test_a_zero_row_and_half_precision_stay_finite():
    queue = FeatureQueue(2, 3)
    queue.enqueue(keras.ops.zeros((2, 3), "float16"))
    assert not held(queue).any()


def test_nothing_to_hold():
    for size, dim in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="must be >= 1, got 0"):
            FeatureQueue(size, dim)


@pytest.mark.parametrize("batches", [(2, 2, 2), (7,), (2, 7, 3)])
def test_labels_keep_to_their_rows(batches):
    queue, plain = LabeledQueue(5, 3), FeatureQueue(5, 3)
    came, start = rows(sum(batches)), 0
    expected = np.full(5, -1)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(queue.labels), expected)
    for batch in batches:
        numbers = np.arange(start, start + batch)
        queue.enqueue(came[numbers], numbers)
        plain.enqueue(came[numbers])
        start += batch
    for number in range(start):
        expected[number % 5] = number
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(queue.labels), expected)
    np.testing.assert_array_equal(held(queue), held(plain))
    assert int(queue.position) == int(plain.position) == start % 5


def remembered(**kwargs):
    return SampleMemory(keras.layers.Layer(), "seen", size=4, **kwargs)


def test_a_sample_memory_keeps_what_was_written_last_and_nothing_of_unknown_examples():
    memory = remembered(shape=(2,), start=0.5)
    rows = np.array([3, 4, 0], "int32")
    memory.write(rows, np.array([[1, 2], [3, 4], [5, 6]], "float32"))
    np.testing.assert_array_equal(memory.values, [[5, 6], [0.5, 0.5], [0.5, 0.5], [1, 2], [0.5, 0.5]])
    np.testing.assert_array_equal(memory.read(np.array([4, 3])), [[0.5, 0.5], [1, 2]])
    memory.write(np.array([3], "int32"), np.array([[7, 8]], "float32"))
    np.testing.assert_array_equal(memory.read(np.array([3])), [[7, 8]])


def test_a_sample_memory_is_one_weight_of_its_model():
    layer = keras.layers.Layer()
    memory = SampleMemory(layer, "seen", size=4, start=-1, dtype="int32")
    assert [v is memory.values for v in layer.non_trainable_variables] == [True]
    assert memory.values.dtype == "int32" and tuple(memory.values.shape) == (5,)
    memory.write(np.array([1], "int32"), np.array([2.0]))
    assert keras.ops.convert_to_numpy(memory.values).tolist() == [-1, 2, -1, -1, -1]


def test_indices_out_of_range_and_missing_ones_are_unknown():
    batch = Batch(np.zeros((5, 3)), None, np.array([0, 3, 4, -1, 99]))
    np.testing.assert_array_equal(rows_of(batch, 4, True, "It"), [0, 3, 4, 4, 4])
    blind = Batch((np.zeros((2, 3)), np.zeros((2, 3))))
    np.testing.assert_array_equal(rows_of(blind, 4, False, "It"), [4, 4])
    with pytest.raises(ValueError, match="It remembers each example, so it must know which ones it sees"):
        rows_of(blind, 4, True, "It")
