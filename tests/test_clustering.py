import numpy as np
import pytest

from kerassl.clustering import cluster_densities, kmeans


def blobs(seed=0, n=40):
    rng = np.random.default_rng(seed)
    centres = np.array([[4.0, 0.0], [0.0, 4.0], [-4.0, -4.0]])
    return (centres[np.arange(n) % 3] + 0.1 * rng.normal(size=(n, 2))).astype("float32")


@pytest.mark.parametrize("seed", (0, 1, 2))
@pytest.mark.parametrize("spherical", (False, True))
def test_blobs_are_found(seed, spherical):
    rows = blobs(seed)
    if spherical:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    centres, clusters, distances = kmeans(rows, 3, restarts=5, spherical=spherical, seed=seed)
    assert len({tuple(clusters[i::3]) for i in range(3)}) == 3
    assert all(len(set(clusters[i::3])) == 1 for i in range(3))
    for i in range(3):
        mean = rows[i::3].mean(axis=0)
        expected = mean / np.linalg.norm(mean) if spherical else mean
        np.testing.assert_allclose(centres[clusters[i]], expected, atol=1e-5)
    np.testing.assert_allclose(distances, np.linalg.norm(rows - centres[clusters], axis=1), atol=1e-6)
    if spherical:
        np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-6)


def test_each_row_is_with_its_nearest_centre_however_it_is_cut():
    rows = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    whole = kmeans(rows, 7, iterations=5, chunk_size=64)
    parts = kmeans(rows, 7, iterations=5, chunk_size=9)
    np.testing.assert_array_equal(whole[1], parts[1])
    np.testing.assert_allclose(whole[0], parts[0], atol=1e-5)
    distances = np.linalg.norm(rows[:, None] - whole[0][None], axis=-1)
    np.testing.assert_array_equal(distances.argmin(axis=1), whole[1])


def test_one_iteration_is_a_mean_of_the_rows_that_are_nearest_to_the_start():
    rows = np.array([[0.0], [1.0], [10.0], [12.0]], "float32")
    start = rows[np.random.default_rng([3, 0]).permutation(4)[:2]]
    nearest = np.abs(rows - start.T).argmin(axis=1)
    expected = np.array([rows[nearest == k].mean(axis=0) for k in range(2)])
    np.testing.assert_allclose(kmeans(rows, 2, iterations=1, seed=3)[0], expected)


def test_a_cluster_without_rows_keeps_its_centre():
    centres, clusters, _ = kmeans(np.ones((5, 2), "float32"), 3)
    np.testing.assert_array_equal(centres, np.ones((3, 2)))
    np.testing.assert_array_equal(clusters, 0)


def test_the_seed_chooses_and_restarts_only_help():
    rows = np.random.default_rng(1).normal(size=(60, 3)).astype("float32")
    inertia = [np.sum(kmeans(rows, 8, iterations=3, seed=(0, s))[2] ** 2) for s in range(4)]
    assert len(set(inertia)) > 1
    np.testing.assert_array_equal(kmeans(rows, 8, seed=(0, 1))[1], kmeans(rows, 8, seed=(0, 1))[1])
    once, often = (np.sum(kmeans(rows, 8, iterations=3, restarts=r)[2] ** 2) for r in (1, 4))
    assert often <= once


def test_more_clusters_than_rows():
    with pytest.raises(ValueError, match="3 rows cannot make 4 clusters; ask for at most 3"):
        kmeans(np.zeros((3, 2)), 4)


def test_densities_have_the_temperature_as_their_mean_and_equal_clusters_have_equal_ones():
    rng = np.random.default_rng(0)
    clusters = np.concatenate([np.arange(12), rng.integers(0, 12, 200)])
    densities = cluster_densities(rng.uniform(0.1, 1, 212), clusters, 12, temperature=0.2)
    assert densities.mean() == pytest.approx(0.2, rel=1e-6)
    np.testing.assert_allclose(cluster_densities(np.full(8, 0.4), np.arange(8) // 2, 4, 0.1), 0.1, rtol=1e-6)


def test_densities_are_the_formula_clipped_and_scaled():
    clusters = np.array([0, 0, 0, 1, 1, 2])
    distances = np.array([0.1, 0.2, 0.3, 0.5, 0.7, 0.0])
    first, second = 0.2 / np.log(13), 0.6 / np.log(12)
    # A cluster of one has the largest, and so has the empty one.
    raw = np.array([first, second, second, second])
    clipped = np.clip(raw, *np.percentile(raw, (10, 90)))
    expected = clipped * 0.2 / clipped.mean()
    np.testing.assert_allclose(cluster_densities(distances, clusters, 4), expected, rtol=1e-6)
    np.testing.assert_allclose(cluster_densities(np.zeros(6), clusters, 4), 0.2)
