import importlib
import tracemalloc

import numpy as np
import pytest

from kerassl.evaluation import knn, knn_accuracy, knn_scores
from kerassl.evaluation.knn import largest


def problem(seed=0, bank=60, queries=25, dim=5, classes=4):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(bank, dim)).astype("float32"),
        rng.integers(0, classes, bank),
        rng.normal(size=(queries, dim)).astype("float32"),
    )


def loop_scores(bank, labels, queries, k, temperature, classes):
    """InstDisc section 3.4 in float64, one pair at a time."""
    rows = []
    for query in queries.astype("float64"):
        cosines = [
            query @ entry / np.sqrt((query @ query) * (entry @ entry)) for entry in bank.astype("float64")
        ]
        votes = np.zeros(classes)
        for i in sorted(range(len(bank)), key=lambda i: -cosines[i])[:k]:
            votes[labels[i]] += np.exp(cosines[i] / temperature)
        rows.append(votes / votes.sum())
    return np.array(rows)


@pytest.mark.parametrize("k, temperature", [(1, 0.1), (7, 0.07), (20, 0.5), (60, 1.0)])
def test_scores_equal_the_loop(k, temperature):
    bank, labels, queries = problem()
    expected = loop_scores(bank, labels, queries, k, temperature, 4)
    scores = knn_scores(bank, labels, queries, k, temperature)
    np.testing.assert_allclose(scores, expected, atol=2e-5)
    np.testing.assert_array_equal(knn(bank, labels, queries, k, temperature), expected.argmax(1))
    np.testing.assert_allclose(
        knn_scores(bank, labels, queries, k, temperature, chunk_size=3), scores, atol=1e-6
    )


def test_one_neighbor_is_the_nearest():
    bank, labels, queries = problem()
    cosine = queries @ (bank / np.linalg.norm(bank, axis=1, keepdims=True)).T
    np.testing.assert_array_equal(knn(bank, labels, queries, k=1), labels[cosine.argmax(1)])
    assert knn_accuracy(bank, labels, 3 * bank, labels, k=1) == 1.0


def test_all_neighbors_at_high_temperature_give_the_class_prior():
    bank, labels, queries = problem()
    prior = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(
        knn_scores(bank, labels, queries, k=60, temperature=1e6), [prior] * 25, atol=1e-5
    )
    assert (knn(bank, labels, queries, k=60, temperature=1e6) == prior.argmax()).all()


def test_doubling_bank_and_k_changes_nothing():
    bank, labels, queries = problem()
    twice = knn(np.tile(bank, (2, 1)), np.tile(labels, 2), queries, k=14)
    np.testing.assert_array_equal(twice, knn(bank, labels, queries, k=7))


def test_classes_come_from_the_bank_and_not_from_the_test_labels():
    bank, labels, queries = problem()
    assert knn_scores(bank, labels, queries).shape == (25, 4)
    assert knn_scores(bank, labels, queries, num_classes=9).shape == (25, 9)
    predicted = knn(bank, labels, queries)
    assert knn_accuracy(bank, labels, queries, np.full(25, 2)) == np.mean(predicted == 2)
    assert knn_accuracy(bank, labels, queries, np.full(25, 7)) == 0.0


def test_unlabeled_entries_are_left_out():
    bank, labels, queries = problem()
    some = np.where(np.arange(60) % 3 == 0, -1, labels)
    kept = some >= 0
    np.testing.assert_array_equal(knn(bank, some, queries), knn(bank[kept], labels[kept], queries))
    answers = knn(bank, labels, queries)
    assert knn_accuracy(bank, labels, queries, np.where(np.arange(25) < 20, -1, answers)) == 1.0


def test_half_precision_scale_and_small_temperature():
    bank, labels, queries = problem()
    expected = knn(bank, labels, queries)
    rounded = knn(
        bank.astype("float16").astype("float32"), labels, queries.astype("float16").astype("float32")
    )
    np.testing.assert_array_equal(knn(bank.astype("float16"), labels, queries.astype("float16")), rounded)
    np.testing.assert_array_equal(knn(1e15 * bank, labels, 1e-15 * queries), expected)
    assert np.isfinite(knn_scores(bank, labels, queries, temperature=1e-3)).all()
    assert np.isfinite(knn_scores(0 * bank, labels, queries)).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_answers_are_scikit_learns(seed):
    neighbors = pytest.importorskip("sklearn.neighbors")
    bank, labels, queries = problem(seed, bank=2000, queries=300, dim=16, classes=7)
    bank, queries = (x + np.eye(16, dtype="float32")[0] for x in (bank, queries))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank.astype("float64"), queries)]

    def weights(distances):
        return np.exp((1 - distances**2 / 2) / 0.07)

    theirs = neighbors.KNeighborsClassifier(20, weights=weights, algorithm="brute").fit(unit[0], labels)
    np.testing.assert_array_equal(knn(bank, labels, queries, 20, 0.07), theirs.predict(unit[1]))
    scores = knn_scores(bank, labels, queries, 20, 0.07)
    np.testing.assert_allclose(scores, theirs.predict_proba(unit[1]), atol=1e-5)


@pytest.mark.backends("torch")  # NumPy, run on torch.
@pytest.mark.parametrize(("k", "bank", "dim", "queries"), [(20, 20000, 64, 500), (200, 9000, 256, 2000)])
def test_memory_is_what_the_docstring_says(monkeypatch, k, bank, dim, queries):
    """With pieces of a 128th: 4 of them, 72 bytes for a neighbor of a query, 8 for a label, the votes."""
    monkeypatch.setattr(importlib.import_module("kerassl.evaluation.knn"), "_CHUNK_ELEMENTS", 2**18)
    bank, labels, queries = problem(bank=bank, dim=dim, queries=queries)
    knn_scores(bank[:500], labels[:500], queries[:5], k)
    tracemalloc.start()
    scores = knn_scores(bank, labels, queries, k, num_classes=300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bank.nbytes > 4 * 2**20, "a copy of the bank would be seen"
    assert peak < 4 * 2**20 + 72 * k * len(queries) + 8 * len(labels) + scores.nbytes


def test_memory_is_bounded_by_the_chunk(monkeypatch):
    monkeypatch.setattr(importlib.import_module("kerassl.evaluation.knn"), "_CHUNK_ELEMENTS", 10)
    bank, labels, queries = problem()
    found = knn_scores(bank, labels, queries)
    monkeypatch.undo()
    np.testing.assert_allclose(found, knn_scores(bank, labels, queries, chunk_size=25), atol=1e-6)


@pytest.mark.parametrize(
    "change, text",
    [
        ({"k": 61}, "k must be a whole number between 1 and 60; got 61"),
        ({"k": 0}, "got 0"),
        ({"temperature": 0}, "temperature must be a finite number above 0"),
        ({"num_classes": 2}, "class 3"),
        ({"bank_labels": np.zeros(59, int)}, r"shape \(60,\)"),
        ({"bank_labels": np.zeros(60)}, "integers"),
        ({"bank_labels": np.full(60, -1)}, "All 60 bank_labels are -1"),
        ({"features": np.zeros((25, 4))}, "bank_features have 5 dimensions but features 4"),
        ({"features": np.zeros(25)}, r"\(number, dim\)"),
        ({"features": np.full((25, 5), np.nan)}, "NaN"),
    ],
)
def test_bad_knn_input(change, text):
    bank, labels, queries = problem()
    with pytest.raises(ValueError, match=text):
        knn(**{"bank_features": bank, "bank_labels": labels, "features": queries, **change})


@pytest.mark.parametrize(("columns", "k"), [(50, 7), (3000, 5), (3001, 20), (1283, 10), (32 * 80, 20)])
def test_the_largest_entries_are_found_in_blocks_as_in_whole_rows(columns, k):
    rows = np.random.default_rng(columns).normal(size=(9, columns)).astype("float32")
    rows[0, :30] = 5.0
    values, places = largest(rows, k)
    np.testing.assert_array_equal(np.take_along_axis(rows, places, axis=1), values)
    np.testing.assert_array_equal(np.sort(values, axis=1), np.sort(rows, axis=1)[:, -k:])
    assert all(len(set(row)) == k for row in places.tolist())
