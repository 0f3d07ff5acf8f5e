"""k-means on the device that trains, in pieces, for more rows and clusters than fit in one product."""

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
    """Lloyd's algorithm from random rows; a cluster that loses all its rows keeps its centre.

    Args:
        rows: `(n, dim)`.
        num_clusters: k, at most n.
        iterations: assignments and means in turn.
        restarts: starts, of which the one with the smallest distances is kept.
        spherical: compare by dot product and bring the centres to length one after each mean (for unit rows),
            as in DeepCluster v2; otherwise squared Euclidean distances.
        seed: non-negative integer, or several, that choose the starts.
        chunk_size: rows compared with all centres at a time.

    Returns:
        float32 centres `(num_clusters, dim)`; the int32 cluster of each row `(n,)`, the nearest of these
        centres; and each row's float32 distance (not squared) to its centre.

    Raises:
        ValueError: for more clusters than rows.

    Example:
        >>> import numpy as np
        >>> from kerassl.clustering import kmeans
        >>> centres, clusters, distances = kmeans(np.array([[0.0], [0.2], [5.0], [5.2]]), num_clusters=2)
        >>> print(np.sort(centres[:, 0]).round(3), distances.round(3))
        [0.1 5.1] [0.1 0.1 0.1 0.1]
    """
    rows = np.asarray(rows, "float32")
    if not 1 <= num_clusters <= len(rows):
        raise ValueError(
            f"{len(rows)} rows cannot make {num_clusters} clusters; ask for at most {len(rows)}."
        )
    best = None
    for restart in range(restarts):
        rng = np.random.default_rng([*np.atleast_1d(seed), restart])
        centres = rows[rng.permutation(len(rows))[:num_clusters]]
        for _ in range(iterations):
            centres = _means(rows, centres, spherical, chunk_size)
        clusters = np.concatenate([_nearest(part, centres, spherical) for part in _parts(rows, chunk_size)])
        distances = np.linalg.norm(rows - centres[clusters], axis=1)
        if best is None or np.sum(distances**2) < np.sum(best[2] ** 2):
            best = centres, clusters, distances
    return best


def _parts(rows: np.ndarray, chunk_size: int) -> list[np.ndarray]:
    return [rows[start : start + chunk_size] for start in range(0, len(rows), chunk_size)]


def _nearest(rows: np.ndarray, centres: np.ndarray, spherical: bool) -> np.ndarray:
    """The int32 index of the nearest centre of each row."""
    scores = ops.matmul(rows, np.ascontiguousarray(centres.T))
    if not spherical:
        scores = ops.subtract(scores, 0.5 * np.sum(centres**2, axis=1))
    return ops.convert_to_numpy(ops.argmax(scores, axis=1)).astype("int32")


def _means(rows: np.ndarray, centres: np.ndarray, spherical: bool, chunk_size: int) -> np.ndarray:
    """The mean of the rows nearest to each centre; the centre itself where there is none."""
    sums, counts = np.zeros(centres.shape, "float64"), np.zeros(len(centres))
    for part in _parts(rows, chunk_size):
        nearest = _nearest(part, centres, spherical)
        counts += np.bincount(nearest, minlength=len(centres))
        sums += ops.convert_to_numpy(ops.segment_sum(part, nearest, num_segments=len(centres)))
    means = sums / np.maximum(counts, 1)[:, None]
    if spherical:
        means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return np.where(counts[:, None] > 0, means, centres).astype("float32")


def pca_whitening(rows: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """What turns rows into as many uncorrelated columns of variance one, those of their largest variance.

    `(rows - mean) @ matrix` has them, as before the k-means of DeepCluster (arXiv 1807.05520). A direction of
    next to no variance is left small rather than blown up.

    Args:
        rows: `(n, width)`.
        dim: columns to keep, at most `width`.

    Returns:
        float32 mean `(width,)` and matrix `(width, dim)`.

    Raises:
        ValueError: for more columns than there are.

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
    """PCL's density phi of each cluster: small for one that is tight or large; their mean is the temperature.

    `phi_k = mean distance / log(n_k + smoothing)`; a cluster of one row or none gets the largest; phi is
    clipped to its 10th and 90th percentile and scaled to the mean asked for.

    Source: arXiv 2005.04966, equation 12; salesforce/PCL, `main_pcl.py` (run_kmeans).

    Args:
        distances: `(n,)` of each row to its centre.
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
