"""The convex part of a prototype network: its last layer, with sparse connections to other classes."""

import numpy as np


def fit_last_layer(
    similarities: np.ndarray,
    labels: np.ndarray,
    start: np.ndarray,
    own: np.ndarray,
    l1_weight: float = 1e-4,
    iterations: int = 100,
) -> np.ndarray:
    """The weights W that minimize the mean cross entropy of S W + l1_weight * sum |W| over other classes.

    Accelerated proximal gradient descent (FISTA, with a step size from the largest singular value of S,
    restarted when the objective rises), in float64 and without randomness.

    Source: ProtoPNet, arXiv 1806.10574, section 2.2, stage 3; cfchen-duke/ProtoPNet makes 20 passes of Adam.

    Args:
        similarities: `(n, num_prototypes)`, S.
        labels: `(n,)` integers; rows of -1 are left out.
        start: `(num_prototypes, num_classes)` initial weights.
        own: boolean `(num_prototypes, num_classes)` mask of the weights from a prototype to its class.
        l1_weight: weight of the absolute values of the other weights.
        iterations: number of iterations.

    Returns:
        Float32 weights. A prototype with neither similarities nor weights keeps zero weights.

    Example:
        >>> import numpy as np
        >>> from kerassl.classifiers.last_layer import fit_last_layer
        >>> similarities, labels, own = np.eye(2)[[0, 1, 0]], np.array([0, 1, 0]), np.eye(2, dtype=bool)
        >>> weights = fit_last_layer(similarities, labels, np.where(own, 1.0, -0.5), own)
        >>> weights.argmax(axis=1).tolist()
        [0, 1]
    """
    rows = labels >= 0
    x, target = similarities[rows].astype("float64"), labels[rows]
    weights = np.asarray(start, "float64")
    if not len(x) or iterations < 1:
        return weights.astype("float32")
    one_hot = np.eye(weights.shape[1])[target]
    # The Hessian of the softmax is at most one half.
    largest = np.linalg.eigvalsh(x.T @ x)[-1] / len(x)
    step = 2.0 / max(largest, 1e-12)
    threshold = step * l1_weight * ~own

    def objective(weights: np.ndarray):
        logits = x @ weights
        top = logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        return np.mean(log_sum - (logits * one_hot).sum(axis=1)) + l1_weight * np.abs(weights[~own]).sum()

    ahead, momentum, best = weights, 1.0, objective(weights)
    for _ in range(iterations):
        logits = x @ ahead
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        moved = ahead - step * (x.T @ (p - one_hot)) / len(x)
        moved = np.sign(moved) * np.maximum(np.abs(moved) - threshold, 0)
        value = objective(moved)
        if value > best:
            if momentum == 1.0:
                break
            ahead, momentum = weights, 1.0
            continue
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - weights)
        weights, momentum, best = moved, following, value
    return weights.astype("float32")
