"""Accuracy of a linear layer on frozen features with the labels of few images."""

import numpy as np

from kerassl.data import label_subset
from kerassl.evaluation.linear import fit_linear_probe
from kerassl.metrics.checks import check_count, check_number
from kerassl.metrics.features import check_probe_data


def few_label_probe(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    fraction: float = 0.01,
    draws: int = 5,
    l2: float = 1e-3,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the test accuracy of `linear_probe` with a share of the labels, over draws of that share.

    Each draw takes the same share of every class, at random. Features without a chosen label are not looked
    at: the standardization also uses the chosen ones only.

    Source: the 1 % and 10 % of SimCLR, arXiv 2002.05709, section 5, on frozen features.

    Args:
        train_features: `(train, dim)` to draw from.
        train_labels: `(train,)` integer labels; entries of -1 (unlabeled) are left out.
        test_features: `(test, dim)`.
        test_labels: `(test,)` integer labels; entries of -1 are left out.
        fraction: share of each class, one feature at least.
        draws: number of random draws.
        l2: weight of the penalty, positive.
        seed: keys the draws.

    Returns:
        `(mean accuracy, standard deviation over draws)`, both in [0, 1].

    Raises:
        ImportError: scikit-learn is missing.
        ValueError: numbers out of range, fewer than two classes, or features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import few_label_probe
        >>> features, labels = np.repeat(np.eye(2), 20, axis=0), np.repeat([0, 1], 20)
        >>> few_label_probe(features, labels, features, labels, fraction=0.1)
        (1.0, 0.0)
    """
    check_number("fraction", fraction, above=0, most=1)
    check_count("draws", draws)
    check_number("l2", l2, above=0)
    check_count("seed", seed, least=0)
    train, labels, test, test_labels = check_probe_data(
        train_features, train_labels, test_features, test_labels
    )
    accuracies = []
    for draw in range(draws):
        chosen = label_subset(labels, fraction, (seed, draw))
        probe = fit_linear_probe(train[chosen], labels[chosen], l2)
        accuracies.append(np.mean(probe.predict(test) == test_labels))
    return float(np.mean(accuracies)), float(np.std(accuracies))
