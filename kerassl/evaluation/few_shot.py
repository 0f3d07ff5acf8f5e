"""Few-shot classification of frozen features by the nearest class mean."""

from collections.abc import Sequence

import numpy as np

from kerassl.metrics.checks import check_count, check_sequence
from kerassl.metrics.features import check_same_width, drop_unlabeled, l2_normalize


def few_shot(
    bank_features: np.ndarray,
    bank_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    shots: Sequence[int] = (1, 5),
    draws: int = 100,
    seed: int = 0,
) -> dict[int, tuple[float, float]]:
    """Returns the accuracy with a few labeled images a class, as mean and standard deviation over draws.

    Each draw takes `shots` labeled features of every class at random, without repetition; a test
    feature gets the class of the nearest mean of them. Features are first centered by the mean of the
    whole bank, whose labels are not used for it, and L2-normalized.

    Source: SimpleShot (arXiv:1911.04623, section 3, "CL2N").

    Args:
        bank_features: `(bank, dim)` to draw from.
        bank_labels: `(bank,)` integer labels; entries of -1 (unlabeled) serve the centering only.
        test_features: `(test, dim)`.
        test_labels: `(test,)` integer labels; entries of -1 are left out.
        shots: labeled images a class, one protocol each.
        draws: number of random draws.
        seed: keys the draws.

    Returns:
        `{shots: (mean accuracy, standard deviation)}`, both in [0, 1].

    Raises:
        ValueError: a class with fewer bank features than `shots`, or features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import few_shot
        >>> features, labels = np.repeat(np.eye(2), 5, axis=0), np.repeat([0, 1], 5)
        >>> few_shot(features, labels, features, labels, shots=(1,), draws=3)
        {1: (1.0, 0.0)}
    """
    bank, bank_labels, test, test_labels = check_same_width(
        bank_features, bank_labels, test_features, test_labels, ("bank_features", "test_features")
    )
    test, test_labels = drop_unlabeled(test, test_labels, "test_labels")
    shots = [check_count("shots", one) for one in check_sequence("shots", shots, "whole numbers")]
    check_count("draws", draws)
    check_count("seed", seed, least=0)
    mean = bank.mean(0, dtype="float64").astype("float32")
    test = l2_normalize(test - mean)
    bank, bank_labels = drop_unlabeled(l2_normalize(bank - mean), bank_labels, "bank_labels")
    classes, sizes = np.unique(bank_labels, return_counts=True)
    if sizes.min() < max(shots):
        raise ValueError(
            f"shots: {max(shots)} need as many bank features of every class, but class "
            f"{classes[sizes.argmin()]} has {sizes.min()}. Pass fewer shots or a larger bank."
        )
    members = [np.flatnonzero(bank_labels == label) for label in classes]
    results = {}
    for number in shots:
        rng = np.random.default_rng([seed, number])
        accuracies = []
        for _ in range(draws):
            chosen = [rng.choice(indices, number, replace=False, shuffle=False) for indices in members]
            means = bank[np.stack(chosen)].mean(1)
            # Squared distance less the test feature's own length, which all classes share.
            distance = (means**2).sum(1) - 2 * test @ means.T
            accuracies.append(np.mean(classes[distance.argmin(1)] == test_labels))
        results[number] = float(np.mean(accuracies)), float(np.std(accuracies))
    return results
