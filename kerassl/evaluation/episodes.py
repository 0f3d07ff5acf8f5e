"""Few-shot accuracy over episodes, as papers on few-shot learning report it."""

import numpy as np

from kerassl.data.episodes import draw_episodes
from kerassl.evaluation.features import check_features


def episode_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = 600,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the mean accuracy over episodes and the half width of its 95 % confidence interval.

    Each episode takes `ways` classes at random, the mean of `shots` features of each as its prototype, and
    gives `queries` other features of each the class of the nearest prototype (squared Euclidean).
    `few_shot` differs: all classes at once, all test features, centred and of length one.

    Source: Prototypical Networks, arXiv 1703.05175, section 3, whose 600 episodes of 5 ways and 15 queries
    these are; the interval is 1.96 standard errors.

    Args:
        features: `(number, dim)`, in papers of classes that training did not see.
        labels: `(number,)` integers; entries of -1 are never drawn.
        ways: classes of an episode, at least 2.
        shots: prototypes are means of so many features.
        queries: features of each class to be classified.
        episodes: number of episodes.
        seed: keys the draws.

    Returns:
        `(mean, half_width)`, both in [0, 1]; the half width is 0 for a single episode.

    Raises:
        ValueError: for numbers below 1, features or labels that do not fit, or fewer classes than ways with
            enough features.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import episode_accuracy
        >>> features, labels = np.repeat(np.eye(3), 8, axis=0), np.repeat([0, 1, 2], 8)
        >>> episode_accuracy(features, labels, ways=2, shots=2, queries=6, episodes=10)
        (1.0, 0.0)
    """
    features, labels = check_features(features, labels, "features")
    if min(shots, queries) < 1:
        raise ValueError(f"shots and queries must be at least 1; got shots={shots}, queries={queries}.")
    drawn = draw_episodes(labels, ways, shots + queries, episodes, np.random.default_rng(seed))
    accuracies = []
    for positions in drawn:
        chosen = features[positions]
        # Seen from the middle, so that no digits are lost far from the origin.
        chosen = chosen - chosen.mean((0, 1))
        means, asked = chosen[:, :shots].mean(1), chosen[:, shots:]
        # The query's own length is common to all distances.
        distances = (means**2).sum(1) - 2 * asked @ means.T
        accuracies.append(np.mean(distances.argmin(-1) == np.arange(ways)[:, None]))
    spread = np.std(accuracies, ddof=1) if episodes > 1 else 0.0
    return float(np.mean(accuracies)), float(1.96 * spread / np.sqrt(episodes))
