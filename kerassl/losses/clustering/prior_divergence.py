"""Divergence of the prototypes' usage from a prior."""

from keras import KerasTensor, ops

from kerassl.losses.common import to_float32

# A smaller share counts as zero, because processors treat smaller numbers differently.
_SMALLEST = 1e-30


def prior_divergence(mean_probabilities: KerasTensor, prior: KerasTensor | None = None) -> KerasTensor:
    """The Kullback-Leibler divergence `KL(mean || prior) = sum mean log(mean / prior)`.

    With a uniform prior this is `log K - H(mean)`, the mean entropy maximization (me-max) of MSN; with
    `power_law_prior` it is PMSN's prior matching. The other direction, `KL(prior || mean)`, is neither.

    Paper: Assran et al., Masked Siamese Networks for Label-Efficient Learning, arXiv 2204.07141, equation 1;
    The Hidden Uniform Cluster Prior in Self-Supervised Learning, arXiv 2210.07277, section 4. Official code:
    facebookresearch/msn, src/losses.py.

    Args:
        mean_probabilities: `(..., num_prototypes)`, the mean over images and views of their probabilities of
            each prototype. For the gradient of a global batch it must be the mean over the global batch.
        prior: `(num_prototypes,)` positive shares that sum to one; uniform by default.

    Returns:
        A float32 scalar, the mean over leading axes; 0 if the mean is the prior, log(num_prototypes) if one
        prototype has all images and the prior is uniform.

    Raises:
        ValueError: if the prior has another number of prototypes.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import prior_divergence
        >>> print(f"{float(prior_divergence([1.0, 0.0])):.4f}, {float(prior_divergence([0.5, 0.5])):.4f}")
        0.6931, 0.0000
    """
    mean = to_float32(mean_probabilities)
    number = mean.shape[-1]
    prior = ops.full((number,), 1.0 / number) if prior is None else to_float32(prior)
    if tuple(prior.shape) != (number,):
        raise ValueError(
            f"prior has shape {tuple(prior.shape)} but must be ({number},): one share for each prototype."
        )
    logarithm = ops.log(ops.where(mean > _SMALLEST, mean, 1.0))
    return ops.mean(ops.sum(mean * (logarithm - ops.log(prior)), axis=-1))
