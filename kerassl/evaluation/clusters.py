"""How well clusters of features are the classes."""

from typing import NamedTuple

import numpy as np

from kerassl.metrics.checks import check_count
from kerassl.metrics.features import check_array, check_labeled, check_labels, l2_normalize

_NEEDED = 'Cluster scores need scikit-learn: pip install "kerassl[data]"'


class ClusterScores(NamedTuple):
    """Agreement of clusters and classes.

    Attributes:
        nmi: normalized mutual information, in [0, 1], by the arithmetic mean of both entropies.
        ari: Rand index adjusted for chance: 0 for random clusters, 1 for the classes.
        accuracy: share of images in the right cluster, when each class has one of its own, the best there is.
    """

    nmi: float
    ari: float
    accuracy: float


def cluster_scores(
    features: np.ndarray,
    labels: np.ndarray,
    num_clusters: int | None = None,
    restarts: int = 10,
    iterations: int = 300,
    seed: int = 0,
) -> ClusterScores:
    """Returns NMI, ARI and accuracy of scikit-learn's k-means on L2-normalized features, without labels.

    Args:
        features: `(number, dim)`.
        labels: `(number,)` integer labels; entries of -1 (unlabeled) are left out.
        num_clusters: k; by default the number of classes.
        restarts: starts (k-means++), of which the tightest clusters are kept.
        iterations: maximal number of iterations of each.
        seed: chooses the starts.

    Returns:
        A `ClusterScores`.

    Raises:
        ImportError: scikit-learn is missing.
        ValueError: more clusters than features, or features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import cluster_scores
        >>> cluster_scores(np.repeat(np.eye(3), 4, axis=0), np.repeat([5, 1, 2], 4))
        ClusterScores(nmi=1.0, ari=1.0, accuracy=1.0)
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise ImportError(_NEEDED) from error
    features, labels = check_labeled(features, labels, "features")
    num_clusters = len(np.unique(labels)) if num_clusters is None else num_clusters
    check_count("num_clusters", num_clusters, most=len(features), mend="Each cluster needs a feature.")
    check_count("restarts", restarts)
    check_count("iterations", iterations)
    check_count("seed", seed, least=0)
    clusters = KMeans(num_clusters, n_init=restarts, max_iter=iterations, random_state=seed)
    return clustering_agreement(clusters.fit_predict(l2_normalize(features)), labels)


def clustering_agreement(clusters: np.ndarray, labels: np.ndarray) -> ClusterScores:
    """Returns NMI, ARI and accuracy of given clusters.

    Args:
        clusters: `(number,)` integers.
        labels: `(number,)` integers, none of them -1.

    Raises:
        ImportError: scikit-learn is missing.
        ValueError: clusters or labels that are no integers, or of two lengths.

    Example:
        >>> from kerassl.evaluation import clustering_agreement
        >>> clustering_agreement([7, 7, 3, 3], [0, 0, 1, 0]).accuracy
        0.75
    """
    try:
        from scipy.optimize import linear_sum_assignment
        from sklearn import metrics
    except ImportError as error:
        raise ImportError(_NEEDED) from error
    clusters = check_array("clusters", clusters, ("number",), kinds="ui")
    labels = check_labels(labels, len(clusters), "labels")
    if labels.min() < 0:
        raise ValueError("labels must be at least 0; got -1. Leave unlabeled entries out of both.")
    table = metrics.cluster.contingency_matrix(labels, clusters)
    matched = table[linear_sum_assignment(table, maximize=True)].sum()
    return ClusterScores(
        float(metrics.normalized_mutual_info_score(labels, clusters)),
        float(metrics.adjusted_rand_score(labels, clusters)),
        float(matched / table.sum()),
    )
