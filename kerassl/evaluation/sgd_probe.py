"""The linear probe of the papers: stochastic gradient descent at several rates, the best chosen fairly."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kerassl.metrics.checks import check_count, check_number, check_sequence
from kerassl.metrics.features import check_probe_data

# Those of DINOv2, for batches of 256.
LEARNING_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)


class SGDProbe(NamedTuple):
    """The result of a linear layer.

    Attributes:
        accuracy: on the test features.
        learning_rate: the one that was chosen, for batches of 256.
    """

    accuracy: float
    learning_rate: float


def sgd_probe(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    learning_rates: Sequence[float] = LEARNING_RATES,
    epochs: int = 100,
    batch_size: int = 256,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> SGDProbe:
    """Returns the test accuracy of a linear layer trained by SGD, at the best rate on validation data.

    A layer for each rate is trained on a part of the training features; the rate whose layer does best on the
    rest is taken for a layer on all of them. The official codes choose by the images that are reported. Rates
    are multiplied by `batch_size / 256` and fall to 0 by a cosine; layers start at zero; features are
    standardized by the mean and deviation of the training features, as MAE's batch norm without weights does.

    Source: facebookresearch/dinov2 `dinov2/eval/linear.py` (the rates); facebookresearch/dino
    `eval_linear.py` (SGD, momentum 0.9, 100 epochs, no decay); facebookresearch/mae `main_linprobe.py`.

    Args:
        train_features: `(train, dim)`.
        train_labels: `(train,)` integer labels; entries of -1 (unlabeled) are left out.
        test_features: `(test, dim)`.
        test_labels: `(test,)` integer labels; entries of -1 are left out.
        learning_rates: to try, for batches of 256.
        epochs: passes over the training features.
        batch_size: features a step.
        momentum: momentum of SGD.
        weight_decay: weight decay of the kernel.
        validation_fraction: share of the training features by which the rate is chosen; not used for one
            rate.
        seed: keys the order of the features and the held-out part.

    Returns:
        An `SGDProbe`.

    Raises:
        ValueError: for no rates, numbers out of range, fewer than two classes, or features that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import sgd_probe
        >>> features, labels = np.repeat([[0.0], [1.0], [10.0], [11.0]], 5, axis=0), np.repeat([0, 1], 10)
        >>> sgd_probe(features, labels, features, labels, epochs=5, batch_size=4).accuracy
        1.0
    """
    for rate in check_sequence("learning_rates", learning_rates, "positive numbers"):
        check_number("learning_rates", rate, above=0)
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    check_number("momentum", momentum, least=0, below=1)
    check_number("weight_decay", weight_decay, least=0)
    check_number("validation_fraction", validation_fraction, above=0, below=1)
    check_count("seed", seed, least=0)
    train, labels, test, test_labels = check_probe_data(
        train_features, train_labels, test_features, test_labels
    )
    mean, std = train.mean(0, dtype="float64"), train.std(0, dtype="float64")
    std = np.where(std > 1e-6 * np.abs(mean), std, 1.0)
    train, test = (((x - mean) / std).astype("float32") for x in (train, test))
    classes, targets = np.unique(labels, return_inverse=True)
    settings = (len(classes), epochs, batch_size, momentum, weight_decay, seed)
    rates = np.asarray(learning_rates, "float64")
    if len(rates) > 1:
        order = np.random.default_rng([seed, 1]).permutation(len(train))
        count = max(1, round(validation_fraction * len(train)))
        held_out, rest = order[:count], order[count:]
        kernels = _trained(train[rest], targets[rest], rates, *settings)
        hits = _logits(train[held_out], kernels).argmax(-1) == targets[held_out]
        rates = rates[hits.mean(1).argmax()][None]
    kernels = _trained(train, targets, rates, *settings)
    predicted = classes[_logits(test, kernels)[0].argmax(-1)]
    return SGDProbe(float(np.mean(predicted == test_labels)), float(rates[0]))


def _trained(
    features: np.ndarray,
    targets: np.ndarray,
    rates: np.ndarray,
    num_classes: int,
    epochs: int,
    batch_size: int,
    momentum: float,
    weight_decay: float,
    seed: int,
) -> np.ndarray:
    """Kernels `(rates, dim + 1, classes)`, the last row the bias, of layers trained side by side."""
    rng = np.random.default_rng([seed, 2])
    batch_size = min(batch_size, len(features))
    steps = len(features) // batch_size
    kernels = np.zeros((len(rates), features.shape[1] + 1, num_classes), "float32")
    velocity, total = np.zeros_like(kernels), epochs * steps
    base = (rates * batch_size / 256).astype("float32")[:, None, None]
    decayed = np.ones((kernels.shape[1], 1), "float32")
    decayed[-1] = 0.0
    for step in range(total):
        if step % steps == 0:
            order = rng.permutation(len(features))
        rows = order[step % steps * batch_size :][:batch_size]
        logits = _logits(features[rows], kernels)
        error = np.exp(logits - logits.max(-1, keepdims=True))
        error /= error.sum(-1, keepdims=True)
        error[:, np.arange(len(rows)), targets[rows]] -= 1.0
        gradient = np.concatenate(
            [features[rows].T @ error, error.sum(1, keepdims=True)], axis=1
        ) / np.float32(len(rows))
        velocity = momentum * velocity + gradient + weight_decay * decayed * kernels
        kernels -= base * np.float32(0.5 + 0.5 * np.cos(np.pi * step / total)) * velocity
    return kernels


def _logits(features: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """`(rates, number, classes)`."""
    return features @ kernels[:, :-1] + kernels[:, -1:]
