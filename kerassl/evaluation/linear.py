"""Offline linear probe: logistic regression on frozen features."""

import numpy as np

from kerassl.evaluation.features import check_probe_data


def linear_probe(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    l2: float = 1e-3,
    max_iterations: int = 1000,
) -> float:
    """Returns the test accuracy of multinomial logistic regression on standardised frozen features.

    Minimises mean cross-entropy + l2 / 2 * ||W||^2 with L-BFGS from zero: convex and without a random
    draw, so the number is the same at every call. Features are standardised by the mean and standard
    deviation of the training features. Unlike published ImageNet probes it sees no augmentation.

    Args:
        train_features: `(train, dim)`.
        train_labels: `(train,)` integer labels; entries of -1 (unlabelled) are left out.
        test_features: `(test, dim)`.
        test_labels: `(test,)` integer labels; entries of -1 are left out.
        l2: weight of the penalty, positive.
        max_iterations: bound on the L-BFGS iterations.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ImportError: scikit-learn is missing.
        ValueError: fewer than two classes to train on, `l2` <= 0, or features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import linear_probe
        >>> features, labels = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1])
        >>> linear_probe(features, labels, features, labels)
        1.0
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError('linear_probe needs scikit-learn: pip install "kerassl[data]"') from error
    if not l2 > 0:
        raise ValueError(f"l2 must be positive, but {l2} came. Usual values: 1e-4 to 1e-2.")
    train_features, train_labels, test_features, test_labels = check_probe_data(
        train_features, train_labels, test_features, test_labels
    )
    mean, std = train_features.mean(0, dtype="float64"), train_features.std(0, dtype="float64")
    std[std <= 1e-6 * np.abs(mean)] = 1.0
    std[std == 0] = 1.0
    probe = LogisticRegression(C=1 / (l2 * len(train_labels)), max_iter=max_iterations)
    probe.fit((train_features - mean) / std, train_labels)
    return float(probe.score((test_features - mean) / std, test_labels))
