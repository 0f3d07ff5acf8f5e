"""Naive Bayes on frozen features: a linear rule that needs a few statistics and no training."""

import numpy as np

from kerassl.metrics.features import check_probe_data


def naive_bayes_probe(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
) -> float:
    """Returns the test accuracy of Gaussian naive Bayes with one diagonal covariance for all classes.

    Class k scores `log prior_k - 1/2 sum_d (x_d - mean_kd)^2 / v_d` with `v = sum_k prior_k var_k`, var_k
    being the population variance of class k; v_d is at least 1e-9 of the variance of all features. The rule
    is linear in x, and does not change when dimensions are scaled. With few labels it is often ahead of
    `linear_probe`, with many behind.

    Source: arXiv:2302.02334; ML-GSAI/Revisiting-Dis-vs-Gen-Classifiers, `models/gaussnb.py`, whose features
    are scaled to [0, 1] first, and which adds 1e-9 to var_k.

    Args:
        train_features: `(train, dim)`.
        train_labels: `(train,)` integer labels; entries of -1 (unlabeled) are left out.
        test_features: `(test, dim)`.
        test_labels: `(test,)` integer labels; entries of -1 are left out.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: fewer than two classes to train on, or features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import naive_bayes_probe
        >>> features, labels = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1])
        >>> naive_bayes_probe(features, labels, features, labels)
        1.0
    """
    train, labels, test, test_labels = check_probe_data(
        train_features, train_labels, test_features, test_labels
    )
    train, test = train.astype("float64"), test.astype("float64")
    classes, rows, counts = np.unique(labels, return_inverse=True, return_counts=True)
    priors = counts / counts.sum()
    means = np.stack([train[rows == k].mean(0) for k in range(len(classes))])
    variance = np.mean((train - means[rows]) ** 2, axis=0)
    variance = np.maximum(variance, 1e-9 * train.var(0))
    variance[variance == 0] = 1.0
    scaled = means / variance
    # The squared length of x, which all classes share, is left out.
    scores = test @ scaled.T + np.log(priors) - 0.5 * np.sum(means * scaled, axis=1)
    return float(np.mean(classes[scores.argmax(1)] == test_labels))
