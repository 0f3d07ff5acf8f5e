"""k-means on the training device, in chunks, for more rows and clusters than fit in one product."""

import numpy as np
from keras import ops


def kmeans(
    rows: np.ndarray,
    num_clusters: int,
    iterations: int = 20,
    restarts: int = 1,
    spherical: bool = False,
    seed: int | tuple[int, ...] = 0,
    chunk_size: int = 8192,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lloyd's algorithm from random rows; a cluster that loses all its rows keeps its center.

    Args:
        rows: `(n, dim)`.
        num_clusters: k, at most n.
        iterations: rounds of assignment and averaging.
        restarts: random initializations; the one with the smallest distances is kept.
        spherical: compare by dot product and normalize the centers after each mean (for unit rows),
            as in DeepCluster v2; otherwise squared Euclidean distances.
        seed: non-negative integer, or several, that choose the initial rows.
        chunk_size: rows compared with all centers at a time.

    Returns:
        float32 centers `(num_clusters, dim)`; the int32 cluster of each row `(n,)`, the nearest of these
        centers; and each row's float32 distance (not squared) to its center.

    Raises:
        ValueError: for more clusters than rows.

    Example:
        >>> import numpy as np
        >>> from kerassl.clustering import kmeans
        >>> centers, clusters, distances = kmeans(np.array([[0.0], [0.2], [5.0], [5.2]]), num_clusters=2)
        >>> print(np.sort(centers[:, 0]).round(3), distances.round(3))
        [0.1 5.1] [0.1 0.1 0.1 0.1]
    """
    rows = np.asarray(rows, "float32")
    if not 1 <= num_clusters <= len(rows):
        raise ValueError(
            f"{len(rows)} rows cannot make {num_clusters} clusters; ask for at most {len(rows)}."
        )

    def run(restart: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng([*np.atleast_1d(seed), restart])
        centers = rows[rng.permutation(len(rows))[:num_clusters]]
        for _ in range(iterations):
            centers = _means(rows, centers, spherical, chunk_size)
        clusters = np.concatenate([_nearest(part, centers, spherical) for part in _parts(rows, chunk_size)])
        distances = np.linalg.norm(rows - centers[clusters], axis=1)
        return centers, clusters, distances

    return min(map(run, range(restarts)), key=lambda found: np.sum(found[2] ** 2))


def _parts(rows: np.ndarray, chunk_size: int) -> list[np.ndarray]:
    return [rows[start : start + chunk_size] for start in range(0, len(rows), chunk_size)]


def _nearest(rows: np.ndarray, centers: np.ndarray, spherical: bool) -> np.ndarray:
    """The int32 index of the nearest center of each row."""
    scores = ops.matmul(rows, np.ascontiguousarray(centers.T))
    if not spherical:
        scores = ops.subtract(scores, 0.5 * np.sum(centers**2, axis=1))
    return ops.convert_to_numpy(ops.argmax(scores, axis=1)).astype("int32")


def _means(rows: np.ndarray, centers: np.ndarray, spherical: bool, chunk_size: int) -> np.ndarray:
    """The mean of the rows nearest to each center; the center itself if it has none."""
    sums, counts = np.zeros(centers.shape, "float64"), np.zeros(len(centers))
    for part in _parts(rows, chunk_size):
        nearest = _nearest(part, centers, spherical)
        counts += np.bincount(nearest, minlength=len(centers))
        sums += ops.convert_to_numpy(ops.segment_sum(part, nearest, num_segments=len(centers)))
    means = sums / np.maximum(counts, 1)[:, None]
    if spherical:
        means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return np.where(counts[:, None] > 0, means, centers).astype("float32")


def pca_whitening(rows: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """The linear map to `dim` uncorrelated columns of variance one, along the directions of largest variance.

    `(rows - mean) @ matrix` applies it, as DeepCluster does before k-means (arXiv 1807.05520). Directions of
    almost no variance stay small instead of being amplified.

    Args:
        rows: `(n, width)`.
        dim: columns to keep, at most `width`.

    Returns:
        float32 mean `(width,)` and matrix `(width, dim)`.

    Raises:
        ValueError: for more columns than the rows have.

    Example:
        >>> import numpy as np
        >>> from kerassl.clustering import pca_whitening
        >>> rows = np.random.default_rng(0).normal(size=(500, 3)) * [5.0, 1.0, 0.1]
        >>> mean, matrix = pca_whitening(rows, 2)
        >>> print(np.abs(np.cov((rows - mean) @ matrix, rowvar=False, bias=True)).round(3))
        [[1. 0.]
         [0. 1.]]
    """
    rows = np.asarray(rows, "float64")
    if not 1 <= dim <= rows.shape[1]:
        raise ValueError(f"{dim} columns cannot be made of {rows.shape[1]}.")
    mean = rows.mean(axis=0)
    variances, directions = np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    # From the largest down.
    variances, directions = variances[::-1][:dim], directions[:, ::-1][:, :dim]
    floor = max(1e-6 * variances[0], 1e-12)
    return mean.astype("float32"), (directions / np.sqrt(np.maximum(variances, floor))).astype("float32")


def cluster_densities(
    distances: np.ndarray,
    clusters: np.ndarray,
    num_clusters: int,
    temperature: float = 0.2,
    smoothing: float = 10.0,
) -> np.ndarray:
    """PCL's density phi of each cluster, low for tight or large clusters; the mean is the temperature.

    `phi_k = mean distance / log(n_k + smoothing)`; clusters of at most one row get the largest; phi is
    clipped to its 10th and 90th percentile and scaled to the requested mean.

    Source: arXiv 2005.04966, equation 12; salesforce/PCL, `main_pcl.py` (run_kmeans).

    Args:
        distances: `(n,)`, from each row to its center.
        clusters: `(n,)` integers.
        num_clusters: k.
        temperature: the mean of the densities; > 0.
        smoothing: the paper's alpha.

    Returns:
        Float32 `(num_clusters,)`.

    Example:
        >>> import numpy as np
        >>> from kerassl.clustering import cluster_densities
        >>> print(cluster_densities(np.full(4, 0.3), np.array([0, 0, 1, 1]), 2))
        [0.2 0.2]
    """
    counts = np.bincount(clusters, minlength=num_clusters)
    sums = np.bincount(clusters, distances.astype("float64"), minlength=num_clusters)
    densities = sums / np.maximum(counts, 1) / np.log(counts + smoothing)
    several = counts > 1
    densities = np.where(several, densities, densities[several].max(initial=0.0))
    densities = np.clip(densities, *np.percentile(densities, (10, 90)))
    mean = densities.mean()
    scaled = densities * temperature / mean if mean > 0 else np.full(num_clusters, temperature)
    return scaled.astype("float32")
