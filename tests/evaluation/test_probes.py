import time

import numpy as np
import pytest

from kerassl.evaluation import few_shot, linear_probe


def blobs(count, classes=3, dim=6, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return (np.eye(dim)[labels] + spread * rng.normal(size=(count, dim))).astype("float32"), labels


def test_linear_probe_on_separable_features():
    train, test = blobs(60), blobs(30, seed=1)
    assert linear_probe(*train, *test) == 1.0
    assert linear_probe(train[0].astype("float16"), train[1], test[0].astype("float16"), test[1]) == 1.0


def test_linear_probe_is_repeatable_and_free_of_scale():
    train, test = blobs(90, spread=0.8), blobs(60, spread=0.8, seed=1)
    accuracy = linear_probe(*train, *test)
    scale, shift = np.array([1e3, 1, 1e-3, 1, 10, 1]), np.arange(6) * 5.0
    assert accuracy == linear_probe(*train, *test)
    assert accuracy == linear_probe(train[0] * scale + shift, train[1], test[0] * scale + shift, test[1])
    assert 0.5 < accuracy < 1


def test_linear_probe_minimizes_the_stated_objective():
    """A larger penalty pulls towards the prior; at the extreme the majority class is all that is left."""
    (features, labels), test = blobs(90, spread=0.3), blobs(30, seed=1)
    labels = np.where(np.arange(90) < 60, 2, labels)
    assert linear_probe(features, labels, *test, l2=1e6) == pytest.approx(1 / 3)


def test_linear_probe_with_constant_dimension_and_missing_labels():
    (train, labels), test = blobs(60), blobs(30, seed=1)
    train, test_features = train.copy(), test[0].copy()
    train[:, 5] = test_features[:, 5] = 7.0
    assert linear_probe(train, np.where(np.arange(60) < 20, -1, labels), test_features, test[1]) == 1.0
    assert linear_probe(train, labels, test_features[:4], np.array([-1, -1, 2, -1])) == 1.0


@pytest.mark.parametrize(
    "labels, options, text",
    [
        (np.zeros(60, int), {}, "at least two classes"),
        (np.arange(60) % 2, {"l2": 0}, "l2 must be a finite number above 0"),
    ],
)
def test_bad_probe_input(labels, options, text):
    with pytest.raises(ValueError, match=text):
        linear_probe(blobs(60)[0], labels, *blobs(10), **options)


def test_few_shot_on_separable_features():
    assert few_shot(*blobs(60, spread=0.01), *blobs(30, spread=0.01, seed=1)) == {
        1: (1.0, 0.0),
        5: (1.0, 0.0),
    }


def test_few_shot_of_noise_is_chance_and_more_shots_help():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    noise = few_shot(rng.normal(size=(300, 8)), labels, rng.normal(size=(300, 8)), labels)
    assert noise[1][0] == pytest.approx(1 / 3, abs=0.03)
    result = few_shot(*blobs(90, spread=0.7), *blobs(90, spread=0.7, seed=1))
    assert 1 / 3 < result[1][0] < result[5][0] and result[1][1] > result[5][1] > 0


def test_few_shot_with_every_feature_is_the_nearest_class_mean():
    (bank, labels), (test, test_labels) = blobs(30, spread=0.7), blobs(60, spread=0.7, seed=1)
    centre = np.mean(bank.astype("float64"), axis=0)
    unit = [(row - centre) / np.linalg.norm(row - centre) for row in bank]
    means = [
        np.mean([row for row, label in zip(unit, labels, strict=True) if label == c], axis=0)
        for c in range(3)
    ]
    hits = 0
    for row, label in zip(test, test_labels, strict=True):
        query = (row - centre) / np.linalg.norm(row - centre)
        hits += int(np.argmin([np.linalg.norm(query - mean) for mean in means]) == label)
    accuracy, deviation = few_shot(bank, labels, test, test_labels, shots=(10,), draws=2)[10]
    assert accuracy == pytest.approx(hits / 60) and deviation == pytest.approx(0)


def test_few_shot_seed_shift_and_scale():
    bank, test = blobs(60, spread=0.7), blobs(60, spread=0.7, seed=1)
    result = few_shot(*bank, *test, draws=5)
    assert result == few_shot(*bank, *test, draws=5) != few_shot(*bank, *test, draws=5, seed=1)
    moved = few_shot(3 * bank[0] + 2, bank[1], 3 * test[0] + 2, test[1], draws=5)
    assert moved[5][0] == pytest.approx(result[5][0], abs=0.01)
    assert few_shot(*bank, *test, shots=(5,), draws=5)[5] == result[5], "protocols draw apart"


def test_few_shot_labels():
    bank, test = blobs(60, spread=0.01), blobs(30, spread=0.01, seed=1)
    only = test[1] == 2
    assert few_shot(*bank, test[0][only], test[1][only])[1][0] == 1.0
    assert few_shot(bank[0], 10 * bank[1], test[0], 10 * test[1])[1][0] == 1.0
    unlabeled = np.where(np.arange(60) < 30, -1, bank[1])
    assert few_shot(bank[0], unlabeled, *test)[5][0] == 1.0
    with pytest.raises(ValueError, match="class 0 has 20"):
        few_shot(*bank, *test, shots=(21,))
    with pytest.raises(ValueError, match="at least 1"):
        few_shot(*bank, *test, shots=(0,))


def test_few_shot_is_quick():
    rng = np.random.default_rng(0)
    bank, labels = rng.normal(size=(1800, 512)), np.arange(1800) % 10
    begin = time.process_time()
    few_shot(bank, labels, bank, labels)
    assert time.process_time() - begin < 10
