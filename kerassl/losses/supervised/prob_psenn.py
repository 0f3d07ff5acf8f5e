"""Negative log-likelihood of a latent vector under its class's distribution of prototypes, of Prob-PSENN."""

import math

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, to_float32
from kerassl.losses.supervised.cross_entropy import labeled_mean


def prototype_nll(
    latents: KerasTensor,
    labels: KerasTensor,
    means: KerasTensor,
    log_stds: KerasTensor,
    low: float = -1.0,
    high: float = 1e4,
    reduction: str = "mean",
) -> KerasTensor:
    """`-log N(z; mu_y, diag(sigma_y^2))`, clipped to [low, high]: pulls images to their prototypes.

    Outside the bounds there is no gradient: a sufficiently likely Gaussian does not become narrower.

    Paper: Vadillo et al., Uncertainty-Aware Explanations Through Probabilistic Self-Explainable Neural
    Networks, arXiv 2403.13740. No official code was found; the bounds are those of a third-party
    implementation.

    Args:
        latents: `(batch, dim)`.
        labels: `(batch,)` integers; rows with a negative label are ignored, in the sum and in the
            mean.
        means: `(num_classes, dim)`.
        log_stds: `(num_classes, dim)` logarithms of the standard deviations.
        low: lower bound of a value.
        high: upper bound of a value.
        reduction: `"mean"` over the labeled rows, or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for wrong ranks, labels of another shape, an unknown reduction.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import prototype_nll
        >>> loss = prototype_nll(np.zeros((1, 2)), [0], np.zeros((1, 2)), np.zeros((1, 2)))
        >>> print(f"{float(loss):.4f}, log 2 pi is {np.log(2 * np.pi):.4f}")
        1.8379, log 2 pi is 1.8379
    """
    latents, labels = to_float32(latents), ops.cast(labels, "int32")
    means, log_stds = to_float32(means), to_float32(log_stds)
    check_rank("latents", latents, ("batch", "dim"))
    check_rank("labels", labels, ("batch",))
    check_same_shape("latents[:, 0]", latents[:, 0], "labels", labels)
    check_rank("means", means, ("num_classes", "dim"))
    check_same_shape("means", means, "log_stds", log_stds)
    check_reduction(reduction)
    own = ops.maximum(labels, 0)
    log_std = ops.take(log_stds, own, axis=0)
    standard = (latents - ops.take(means, own, axis=0)) * ops.exp(-log_std)
    nll = ops.sum(0.5 * ops.square(standard) + log_std + 0.5 * math.log(2 * math.pi), axis=1)
    each = ops.where(labels >= 0, ops.clip(nll, low, high), 0.0)
    return labeled_mean(each, labels) if reduction == "mean" else each
