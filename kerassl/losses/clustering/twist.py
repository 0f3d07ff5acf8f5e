"""The loss of TWIST: class distributions that agree between views, are sharp, and differ between images."""

from collections.abc import Callable

from keras import KerasTensor, ops

from kerassl.losses.common import check_not_negative, check_positive, embeddings

# Added to probabilities inside logarithms.
EPSILON = 1e-5


def twist(
    logits1: KerasTensor,
    logits2: KerasTensor,
    sharpness_weight: float | KerasTensor = 1.0,
    diversity_weight: float | KerasTensor = 1.0,
    temperature: float | KerasTensor = 1.0,
) -> KerasTensor:
    """TWIST: two views get one class distribution, sharp for each image and even over the batch.

    With `p_v = softmax(logits_v)` and `q_v = softmax(logits_v / temperature)`, `L = mean_i (KL(p1_i || p2_i)
    + KL(p2_i || p1_i)) / 2 + alpha mean_v mean_i H(q_v_i) - beta mean_v H(mean_i q_v_i)`. Symmetric in the
    views; nothing is detached. There is no per-image value, hence no `reduction`: the last entropy is that of
    the batch. For a loss over several devices, gather the logits first.

    Paper: Wang et al., Self-Supervised Learning by Estimating Twin Class Distributions, arXiv 2110.07402,
    where the temperature is 1. Official code: bytedance/TWIST, objective.py, whose `lam1` is alpha - 1 and
    whose `lam2` is beta. Probabilities in logarithms are raised by 1e-5, as in the official code.

    Args:
        logits1: `(batch, num_prototypes)` class logits of the first views.
        logits2: the same for the second views.
        sharpness_weight: weight of the mean entropy of an image's distribution, alpha in the paper; >= 0.
        diversity_weight: weight of the entropy of the mean distribution, beta in the paper; >= 0.
        temperature: divides the logits in both entropies, not in the divergence, tau in the official code;
            positive number or scalar tensor.

    Returns:
        A float32 scalar. With weights of 1: -log(num_prototypes) for certain classes of equal size, the
        lowest value, and 0 for one class and for undecided distributions.

    Raises:
        ValueError: for shapes that differ or are not rank 2, a negative weight, or a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import twist
        >>> certain = 100 * np.eye(4)
        >>> print(f"{float(twist(certain, certain)):.2f}, log 4 is {np.log(4):.2f}")
        -1.39, log 4 is 1.39
    """
    check_not_negative("sharpness_weight", sharpness_weight)
    check_not_negative("diversity_weight", diversity_weight)
    consistency, sharpness, diversity = twist_terms(logits1, logits2, temperature)
    return consistency + sharpness_weight * sharpness - diversity_weight * diversity


def twist_terms(
    logits1: KerasTensor,
    logits2: KerasTensor,
    temperature: float | KerasTensor = 1.0,
    average: Callable[[KerasTensor], KerasTensor] = lambda mean: mean,
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """The divergence between the views, the mean entropy, and the entropy of the mean, all without weights.

    `average` makes the mean distribution of a share of the batch that of the whole; the rest as in `twist`.
    """
    logits1, logits2 = embeddings("logits1", logits1, "logits2", logits2)
    check_positive("temperature", temperature)
    p1, p2 = ops.softmax(logits1, axis=-1), ops.softmax(logits2, axis=-1)
    # Both directions at once.
    divergences = ops.sum((p1 - p2) * (ops.log(p1 + EPSILON) - ops.log(p2 + EPSILON)), axis=-1)
    logits = ops.stack([logits1, logits2]) / ops.cast(temperature, "float32")
    probabilities = ops.softmax(logits, axis=-1)
    means = average(ops.mean(probabilities, axis=1))
    return ops.mean(divergences) / 2, ops.mean(_entropies(probabilities)), ops.mean(_entropies(means))


def _entropies(probabilities: KerasTensor) -> KerasTensor:
    return -ops.sum(probabilities * ops.log(probabilities + EPSILON), axis=-1)
