"""Queries of an episode that are classified together."""

import numpy as np
import pytest

from kerassl.evaluation import (
    constrained_kmeans,
    episode_accuracy,
    few_label_probe,
    laplacian_shot,
    linear_probe,
    nearest_prototype,
)
from kerassl.evaluation.transductive import bound_updates, neighbor_graph

# All of it is NumPy.
pytestmark = pytest.mark.backends("torch")


def episode(seed, ways=3, shots=2, queries=7, dim=6, spread=0.7):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(ways, 1, dim))
    features = centres + spread * rng.normal(size=(ways, shots + queries, dim))
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    return features[:, :shots], features[:, shots:].reshape(-1, dim), np.repeat(np.arange(ways), queries)


def loop_laplacian(support, queries, smoothness, neighbors, rectify, iterations):
    """Equations 3 and 8 of arXiv 2006.15486, one query at a time."""
    ways, shots, _ = support.shape
    prototypes = [np.mean(support[k], axis=0) for k in range(ways)]
    if rectify:
        shift = support.reshape(ways * shots, -1).mean(0) - queries.mean(0)
        queries = np.array([q + shift for q in queries])
        everything = [*support.reshape(ways * shots, -1), *queries]
        sums, totals = [0 * p for p in prototypes], [0.0] * ways
        for x in everything:
            cosines = np.array([x @ p / np.linalg.norm(x) / np.linalg.norm(p) for p in prototypes])
            weights = np.exp(10 * cosines) / np.exp(10 * cosines).sum()
            k = cosines.argmax()
            sums[k], totals[k] = sums[k] + weights[k] * x, totals[k] + weights[k]
        prototypes = [s / t for s, t in zip(sums, totals, strict=True)]
    number = len(queries)
    near = []
    for p in range(number):
        others = sorted(
            (q for q in range(number) if q != p), key=lambda q: np.sum((queries[p] - queries[q]) ** 2)
        )
        near.append(others[:neighbors])
    unary = np.array([[np.sum((q - m) ** 2) for m in prototypes] for q in queries])
    soft = np.exp(-unary) / np.exp(-unary).sum(1, keepdims=True)
    for _ in range(iterations):
        pulled = np.array([sum(soft[q] for q in near[p]) for p in range(number)])
        soft = np.exp(smoothness * pulled - unary)
        soft /= soft.sum(1, keepdims=True)
    return soft


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_laplacian_shot_is_the_loop(seed, rectify):
    support, queries, _ = episode(seed)
    soft = loop_laplacian(support, queries, 0.7, 2, rectify, 20)
    found = laplacian_shot(support, queries, 0.7, 2, rectify)
    # Where the loop goes on for all iterations, ours may have stopped a millionth earlier.
    clear = np.diff(np.sort(soft, axis=1)[:, -2:])[:, 0] > 1e-3
    np.testing.assert_array_equal(found[clear], soft.argmax(1)[clear])
    assert clear.mean() > 0.9
    unary = ((queries[:, None] - support.mean(1)) ** 2).sum(-1)
    assignments, _ = bound_updates(unary, neighbor_graph(queries, 2), 0.7, 3)
    np.testing.assert_allclose(assignments, loop_laplacian(support, queries, 0.7, 2, False, 3), atol=1e-9)


def test_without_smoothness_it_is_the_nearest_prototype():
    for seed in range(3):
        support, queries, _ = episode(seed)
        np.testing.assert_array_equal(
            laplacian_shot(support, queries, smoothness=0, rectify=False), nearest_prototype(support, queries)
        )
    with pytest.raises(ValueError, match="smoothness must be a finite number of at least 0; got -1"):
        laplacian_shot(support, queries, smoothness=-1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_energy_never_rises_and_twins_agree(seed):
    support, queries, _ = episode(seed)
    queries = np.concatenate([queries, queries[:1]])
    unary = ((queries[:, None] - support.mean(1)) ** 2).sum(-1)
    # Symmetric and positive semi-definite, as the bound needs it.
    graph = np.maximum(queries @ queries.T, 0)
    graph = graph @ graph.T
    assignments, energies = bound_updates(unary, graph, 0.7, 20)
    assert len(energies) > 2 and (np.diff(energies) <= 1e-9).all()
    np.testing.assert_allclose(assignments[0], assignments[-1], atol=1e-12)
    np.testing.assert_allclose(assignments.sum(1), 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kmeans_lowers_the_distances_with_the_support_in_its_classes(seed):
    support, queries, _ = episode(seed, shots=1)

    def inertia(classes):
        total = 0.0
        for k in range(3):
            members = np.concatenate([support[k], queries[classes == k]])
            total += np.sum((members - members.mean(0)) ** 2)
        return total

    each = [inertia(constrained_kmeans(support, queries, iterations=n)) for n in range(5)]
    assert (np.diff(each) <= 1e-9).all()
    final = constrained_kmeans(support, queries)
    centres = np.stack([np.concatenate([support[k], queries[final == k]]).mean(0) for k in range(3)])
    np.testing.assert_array_equal(final, ((queries[:, None] - centres) ** 2).sum(-1).argmin(1))
    np.testing.assert_array_equal(
        constrained_kmeans(support, queries, iterations=0), nearest_prototype(support, queries)
    )


@pytest.mark.parametrize("classify", [laplacian_shot, constrained_kmeans])
def test_clusters_help_one_shot(classify):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 5
    features = 1.5 * np.eye(12)[labels] + 0.35 * rng.normal(size=(200, 12)) + 7
    options = {"bank_features": features, "episodes": 60}
    alone, half = episode_accuracy(features, labels, **options)
    together, _ = episode_accuracy(features, labels, classify=classify, **options)
    assert together > alone + half
    # The order of the queries makes no difference, and neither does where the features are.
    support, queries, _ = episode(4)
    order = rng.permutation(len(queries))
    np.testing.assert_array_equal(classify(support, queries[order]), classify(support, queries)[order])
    moved = episode_accuracy(
        features + 50, labels, classify=classify, bank_features=features + 50, episodes=60
    )
    assert moved[0] == pytest.approx(together, abs=0.01)


def test_episodes_are_centered_by_the_bank_and_of_length_one():
    rng = np.random.default_rng(0)
    bank, labels = rng.normal(size=(40, 4)) + 5, np.arange(60) % 4
    features = (rng.normal(size=(60, 4)) + 5).astype("float32")
    seen = []

    def classify(support, queries):
        seen.append((support, queries))
        return np.zeros(len(queries), int)

    mean, half = episode_accuracy(features, labels, 3, 1, 5, 8, bank_features=bank, classify=classify)
    assert mean == pytest.approx(1 / 3) and half == 0
    support, queries = seen[0]
    assert support.shape == (3, 1, 4) and queries.shape == (15, 4)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    centered = features - bank.mean(0)
    centered /= np.linalg.norm(centered, axis=1, keepdims=True)
    assert all(np.abs(centered - row).sum(1).min() < 1e-4 for row in queries)
    with pytest.raises(ValueError, match="bank_features have 3 dimensions but features 4"):
        episode_accuracy(features, labels, bank_features=bank[:, :3])


def test_few_labels_are_probed_over_draws():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    train, test = (np.eye(4)[labels] + 0.5 * rng.normal(size=(200, 4)) for _ in range(2))
    one, ten, everything = (few_label_probe(train, labels, test, labels, f) for f in (0.02, 0.1, 1.0))
    assert one[0] < ten[0] < everything[0] and one[1] > ten[1] > 0 == everything[1]
    assert everything[0] == linear_probe(train, labels, test, labels)
    assert one == few_label_probe(train, labels, test, labels, 0.02)
    assert one != few_label_probe(train, labels, test, labels, 0.02, seed=1)
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1"):
        few_label_probe(train, labels, test, labels, draws=0)
    with pytest.raises(ValueError, match=r"fraction must be a finite number above 0 and of at most 1; got 2"):
        few_label_probe(train, labels, test, labels, fraction=2)
