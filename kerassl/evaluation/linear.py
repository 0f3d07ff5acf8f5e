"""Offline linear probe: logistic regression on frozen features."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerassl.metrics.checks import check_count, check_number
from kerassl.metrics.features import check_features, check_labeled, check_probe_data, check_two_classes


def linear_probe(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    l2: float = 1e-3,
    max_iterations: int = 1000,
) -> float:
    """Returns the test accuracy of multinomial logistic regression on standardized frozen features.

    Minimizes mean cross-entropy + l2 / 2 * ||W||^2 with L-BFGS from zero: convex and without a random draw,
    so the number is the same at every call. Features are standardized by the mean and standard deviation of
    the training features. Unlike published ImageNet probes it sees no augmentation. Of two classes W is one
    vector, as scikit-learn has it, which is as if `l2` were twice as large.

    Args:
        train_features: `(train, dim)`.
        train_labels: `(train,)` integer labels; entries of -1 (unlabeled) are left out.
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
    train_features, train_labels, test_features, test_labels = check_probe_data(
        train_features, train_labels, test_features, test_labels
    )
    probe = fit_linear_probe(train_features, train_labels, l2, max_iterations)
    return float(np.mean(probe.predict(test_features) == test_labels))


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression on features that are standardized first.

    Attributes:
        mean: `(dim,)` of the training features.
        std: `(dim,)`, 1 where a dimension is constant.
        classifier: scikit-learn's.
    """

    mean: np.ndarray
    std: np.ndarray
    classifier: Any

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The class `(number,)` of each of the `(number, dim)` features."""
        return self.classifier.predict(self._standardized(features))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """`(number, classes)`, the classes in increasing order, of `(number, dim)` features."""
        return self.classifier.predict_proba(self._standardized(features))

    def _standardized(self, features: np.ndarray) -> np.ndarray:
        features = check_features(features, None, "features")[0]
        if features.shape[1] != len(self.mean):
            raise ValueError(
                f"features must have {len(self.mean)} dimensions, as in the fit; got shape {features.shape}."
            )
        return (features - self.mean) / self.std


def fit_linear_probe(
    features: np.ndarray, labels: np.ndarray, l2: float = 1e-3, max_iterations: int = 1000
) -> LinearProbe:
    """Returns the logistic regression whose accuracy `linear_probe` gives.

    Args:
        features: `(number, dim)`.
        labels: `(number,)` integer labels; entries of -1 (unlabeled) are left out.
        l2: weight of the penalty, positive.
        max_iterations: bound on the L-BFGS iterations.

    Raises:
        ImportError: scikit-learn is missing.
        ValueError: fewer than two classes, `l2` <= 0, or features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import fit_linear_probe
        >>> probe = fit_linear_probe(np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([3, 3, 7, 7]))
        >>> probe.predict(np.array([[2.0], [9.0]])).tolist()
        [3, 7]
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError('linear_probe needs scikit-learn: pip install "kerassl[data]"') from error
    check_number("l2", l2, above=0, mend="Usual values: 1e-4 to 1e-2.")
    check_count("max_iterations", max_iterations)
    features, labels = check_labeled(features, labels, "features")
    check_two_classes(labels, "labels")
    mean, std = features.mean(0, dtype="float64"), features.std(0, dtype="float64")
    std[std <= 1e-6 * np.abs(mean)] = 1.0
    std[std == 0] = 1.0
    classifier = LogisticRegression(C=1 / (l2 * len(labels)), max_iter=max_iterations)
    return LinearProbe(mean, std, classifier.fit((features - mean) / std, labels))
