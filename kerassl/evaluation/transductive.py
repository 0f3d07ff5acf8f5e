"""Few-shot classification of queries that are decided together: Laplacian smoothing and k-means."""

import numpy as np

from kerassl.metrics.checks import check_count, check_number
from kerassl.metrics.features import check_array, l2_normalize


def nearest_prototype(support: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Returns the class of the nearest mean of the support, for each query separately.

    Source: Prototypical Networks, arXiv 1703.05175; SimpleShot, arXiv 1911.04623.

    Args:
        support: `(ways, shots, dim)`, the labeled features of each class.
        queries: `(number, dim)`.

    Returns:
        `(number,)` classes from 0 to `ways - 1`.

    Raises:
        ValueError: arrays of other shapes, of two widths, or not finite; fewer than one iteration.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import nearest_prototype
        >>> nearest_prototype(np.array([[[0.0]], [[1.0]]]), np.array([[0.2], [3.0]])).tolist()
        [0, 1]
    """
    support, queries = _checked(support, queries)
    return _distances(queries, support.mean(1)).argmin(1)


def laplacian_shot(
    support: np.ndarray,
    queries: np.ndarray,
    smoothness: float = 0.7,
    neighbors: int = 2,
    rectify: bool = True,
    iterations: int = 20,
) -> np.ndarray:
    """Returns classes that fit the prototypes and agree between neighboring queries.

    Minimizes `sum Y ln Y + sum a_pk Y_pk - smoothness sum w_pq y_p . y_q` over soft assignments Y of the
    queries, by `Y <- softmax(-a + smoothness W Y)` from `softmax(-a)`; a are squared distances to the
    prototypes, w_pq is 1 where q is among the nearest neighbors of p.

    Source: LaplacianShot, arXiv 2006.15486; imtiazziko/LaplacianShot, `src/lshot_update.py`. The rectified
    prototypes are weighted means here, where that code does not divide by the sum of the weights.

    Args:
        support: `(ways, shots, dim)` labeled features, centered and of length one.
        queries: `(number, dim)` of the same kind.
        smoothness: lambda; 0 gives the nearest prototype. The paper chooses from 0.1 to 1.5 on validation
            classes.
        neighbors: number of neighbors of each query among the others.
        rectify: shift the queries onto the support's mean first, and average prototypes over support and
            queries, weighted by softmax(10 cos).
        iterations: at most; it stops when the energy changes by less than a millionth.

    Returns:
        `(number,)` classes from 0 to `ways - 1`.

    Raises:
        ValueError: for a negative smoothness, or fewer than one neighbor.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import laplacian_shot
        >>> support = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
        >>> laplacian_shot(support, np.array([[0.8, 0.6], [1.0, 0.1], [0.1, 1.0]]), neighbors=1).tolist()
        [0, 0, 1]
    """
    support, queries = _checked(support, queries)
    check_number("smoothness", smoothness, least=0)
    check_count("neighbors", neighbors)
    check_count("iterations", iterations, least=0)
    prototypes = support.mean(1)
    if rectify:
        queries = queries + (support.mean((0, 1)) - queries.mean(0))
        prototypes = _rectified(prototypes, np.concatenate([support.reshape(-1, support.shape[-1]), queries]))
    unary = _distances(queries, prototypes)
    assignments, _ = bound_updates(unary, neighbor_graph(queries, neighbors), smoothness, iterations)
    return assignments.argmax(1)


def constrained_kmeans(support: np.ndarray, queries: np.ndarray, iterations: int = 20) -> np.ndarray:
    """Returns the clusters of k-means, in which the labeled features stay in their classes.

    Source: Transductive Few-Shot Learning: Clustering is All You Need?, arXiv 2106.09516, whose simplest case
    this is; squared Euclidean distances, from the means of the support.

    Args:
        support: `(ways, shots, dim)` labeled features, centered and of length one.
        queries: `(number, dim)` of the same kind.
        iterations: at most; it stops when no query changes its cluster.

    Returns:
        `(number,)` classes from 0 to `ways - 1`.

    Raises:
        ValueError: arrays of other shapes, of two widths, or not finite; fewer than one iteration.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import constrained_kmeans
        >>> support = np.array([[[0.0]], [[5.0]]])
        >>> constrained_kmeans(support, np.array([[2.0], [2.6], [3.0], [9.0]])).tolist()
        [0, 0, 0, 1]
    """
    support, queries = _checked(support, queries)
    check_count("iterations", iterations, least=0)
    ways, shots, _ = support.shape
    classes = _distances(queries, support.mean(1)).argmin(1)
    for _ in range(iterations):
        chosen = np.eye(ways, dtype=queries.dtype)[classes]
        centers = (support.sum(1) + chosen.T @ queries) / (shots + chosen.sum(0))[:, None]
        before, classes = classes, _distances(queries, centers).argmin(1)
        if (before == classes).all():
            break
    return classes


def _checked(support: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finite arrays of one width and of the types that were given, or `ValueError` that names the fault."""
    support = check_array("support", support, ("ways", "shots", "dim"))
    queries = check_array("queries", queries, ("number", "dim"))
    for name, values in (("support", support), ("queries", queries)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} hold NaN or infinite values.")
    if support.shape[-1] != queries.shape[-1]:
        raise ValueError(
            f"queries must have {support.shape[-1]} dimensions, as support; got {queries.shape}."
        )
    return support, queries


def neighbor_graph(queries: np.ndarray, neighbors: int) -> np.ndarray:
    """A `(number, number)` matrix with a 1 where the column is one of the row's nearest others."""
    number = len(queries)
    distances = _distances(queries, queries)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(neighbors, number - 1)]
    graph = np.zeros((number, number), queries.dtype)
    np.put_along_axis(graph, nearest, 1, axis=1)
    return graph


def bound_updates(
    unary: np.ndarray, graph: np.ndarray, smoothness: float, iterations: int
) -> tuple[np.ndarray, list[float]]:
    """The soft assignments `(number, ways)`, and the energy of each iteration, the start's first.

    The energy cannot rise where the graph is symmetric and positive semi-definite.

    Args:
        unary: `(number, ways)` squared distances to the prototypes.
        graph: `(number, number)` weights.
        smoothness: lambda.
        iterations: at most.
    """
    assignments, energies = _softmax(-unary), []
    for _ in range(iterations + 1):
        pulled = graph @ assignments
        energies.append(
            float(
                np.sum(assignments * (np.log(np.maximum(assignments, 1e-20)) + unary - smoothness * pulled))
            )
        )
        if len(energies) > 1 and abs(energies[-1] - energies[-2]) <= 1e-6 * abs(energies[-2]):
            break
        if len(energies) <= iterations:
            assignments = _softmax(smoothness * pulled - unary)
    return assignments, energies


def _rectified(prototypes: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Means of the features nearest to each prototype by angle, weighted by softmax(10 cos)."""
    cosines = l2_normalize(features) @ l2_normalize(prototypes).T
    weights = _softmax(10 * cosines) * (np.arange(len(prototypes)) == cosines.argmax(1)[:, None])
    total = weights.sum(0)[:, None]
    return np.where(total > 0, weights.T @ features / np.maximum(total, 1e-12), prototypes)


def _distances(features: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances `(number, centers)`."""
    # Seen from the middle, so that no digits are lost far from the origin.
    middle = centers.mean(0)
    features, centers = features - middle, centers - middle
    squares = (features**2).sum(1)[:, None] + (centers**2).sum(1) - 2 * features @ centers.T
    return np.maximum(squares, 0)


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)
