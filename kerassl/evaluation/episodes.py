"""Few-shot accuracy over episodes, as papers on few-shot learning report it."""

from collections.abc import Callable

import numpy as np

from kerassl.data.episodes import draw_episodes
from kerassl.evaluation.transductive import nearest_prototype
from kerassl.metrics.checks import check_count
from kerassl.metrics.features import (
    check_features,
    check_labels,
    check_one_width,
    drop_unlabeled,
    l2_normalize,
)


def episode_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = 600,
    seed: int = 0,
    bank_features: np.ndarray | None = None,
    classify: Callable[[np.ndarray, np.ndarray], np.ndarray] = nearest_prototype,
) -> tuple[float, float]:
    """Returns the mean accuracy over episodes and the half width of its 95 % confidence interval.

    Each episode takes `ways` classes at random, `shots` labeled features of each, and has `queries` other
    features of each class classified from them: by default by the nearest class mean (squared Euclidean), as
    in Prototypical Networks. `few_shot` differs: all classes at once, all test features.

    With `bank_features` it is SimpleShot's (CL2N): features are centered by their mean and brought to length
    one. `laplacian_shot` and `constrained_kmeans` classify the queries of an episode together, and are for
    such features.

    Source: Prototypical Networks, arXiv 1703.05175, section 3, whose 600 episodes of 5 ways and 15 queries
    these are; the interval is 1.96 standard errors. SimpleShot, arXiv 1911.04623, section 3.

    Args:
        features: `(number, dim)`, in papers of classes that training did not see.
        labels: `(number,)` integers; entries of -1 are never drawn.
        ways: classes of an episode, at least 2.
        shots: labeled features of each class.
        queries: features of each class to be classified.
        episodes: number of episodes.
        seed: keys the draws.
        bank_features: `(bank, dim)` training features, labeled or not, by whose mean to center; `None` for
            features as they are.
        classify: from support `(ways, shots, dim)` and queries `(number, dim)` to the class of each query.

    Returns:
        `(mean, half_width)`, both in [0, 1]; the half width is 0 for a single episode.

    Raises:
        ValueError: for numbers below 1, features or labels that do not fit, or fewer classes than ways with
            enough features.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import constrained_kmeans, episode_accuracy
        >>> features, labels = np.repeat(np.eye(3), 8, axis=0), np.repeat([0, 1, 2], 8)
        >>> episode_accuracy(features, labels, ways=2, shots=2, queries=6, episodes=10)
        (1.0, 0.0)
        >>> transductive = {"bank_features": features, "classify": constrained_kmeans}
        >>> episode_accuracy(features, labels, ways=2, queries=6, episodes=10, **transductive)
        (1.0, 0.0)
    """
    features, _ = check_features(features, None, "features")
    labels = check_labels(labels, len(features), "labels")
    drop_unlabeled(features, labels)
    check_count("ways", ways, least=2)
    for name, value in (("shots", shots), ("queries", queries), ("episodes", episodes)):
        check_count(name, value)
    check_count("seed", seed, least=0)
    if not callable(classify):
        raise ValueError(f"classify must be a function of support and queries; got {classify!r}.")
    if bank_features is not None:
        bank, _ = check_features(bank_features, None, "bank_features")
        check_one_width(bank, "bank_features", features, "features")
        features = l2_normalize(features - bank.mean(0, dtype="float64").astype("float32"))
    drawn = draw_episodes(labels, ways, shots + queries, episodes, np.random.default_rng(seed))
    accuracies = []
    for positions in drawn:
        chosen = features[positions]
        asked = chosen[:, shots:].reshape(-1, features.shape[1])
        found = classify(chosen[:, :shots], asked)
        accuracies.append(np.mean(found == np.repeat(np.arange(ways), queries)))
    spread = np.std(accuracies, ddof=1) if episodes > 1 else 0.0
    return float(np.mean(accuracies)), float(1.96 * spread / np.sqrt(episodes))
