"""The cross entropies of an ensemble of heads, weighted per image by the heads' outputs."""

import difflib
import math
from collections.abc import Callable
from typing import Literal, get_args

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_rank, check_reduction, reduce, to_float32

Weighting = Literal["uniform", "probability", "entropy"]
WEIGHTINGS = get_args(Weighting)


def weighted_ensemble(
    loss: Callable[..., KerasTensor],
    logits: KerasTensor,
    targets: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    weighting: str = "uniform",
    weighting_temperature: float | KerasTensor = 0.05,
    reduction: str = "mean",
) -> KerasTensor:
    """A cross entropy of targets with predictions, for example `dino`, for heads with their own prototypes.

    With t_h the target and s_h the prediction of head h of m,

    - "uniform" (UNIF) is the mean of the heads' losses, `1/m sum_h H(t_h, s_h)`;
    - "probability" (PROB) is `H(1/m sum_h t_h, 1/m sum_h s_h)`, the loss of the mean head. Its gradient
      equals the gradient of the heads' losses weighted by their probability of each prototype;
    - "entropy" (ENT) is `sum_h w_h H(t_h, s_h)` with `w = softmax(-H(t) / weighting_temperature)` over heads,
      for each image: the more certain a teacher's head is, the larger its weight. An infinite temperature is
      "uniform".

    No gradient passes through weights. With one head all three are the loss itself.

    Paper: Ruan et al., Weighted Ensemble Self-Supervised Learning, arXiv 2211.09981, section 3. No official
    code. The paper's other weightings, over all pairs of heads and by variances, are not included.

    Args:
        loss: the loss of one head, a function of logits, targets, temperature and reduction: `dino`, `msn` or
            `swav`.
        logits: `(num_views, batch, num_heads, num_prototypes)`.
        targets: `(num_target_views, batch, num_heads, num_prototypes)`, or without views as in `msn`;
            centered or balanced, and sharpened, in each head separately; detached here.
        temperature: divides the logits; positive number or scalar tensor.
        weighting: "uniform", "probability" or "entropy".
        weighting_temperature: gamma in the paper; positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for one value per image.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for an unknown weighting, a temperature <= 0, other heads or prototypes in targets than in
            logits, and as the loss.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import dino, weighted_ensemble
        >>> logits, targets = np.zeros((3, 5, 4, 8)), np.full((2, 5, 4, 8), 1 / 8)
        >>> print(f"{float(weighted_ensemble(dino, logits, targets, weighting='entropy')):.4f}")
        2.0794
    """
    check_positive("temperature", temperature)
    check_reduction(reduction)
    logits, targets = to_float32(logits), ops.stop_gradient(to_float32(targets))
    check_rank("logits", logits, ("views", "batch", "num_heads", "num_prototypes"))
    num_heads = logits.shape[-2]
    check_ensemble(num_heads, weighting, weighting_temperature)
    if tuple(targets.shape[-2:]) != tuple(logits.shape[-2:]):
        raise ValueError(
            f"logits has shape {tuple(logits.shape)} but targets has shape {tuple(targets.shape)}; they must "
            "be equal in num_heads and num_prototypes."
        )
    if weighting == "probability":
        log_probabilities = ops.log_softmax(logits / ops.cast(temperature, "float32"), axis=-1)
        of_mean = ops.logsumexp(log_probabilities, axis=-2) - math.log(num_heads)
        return loss(of_mean, ops.mean(targets, axis=-2), 1.0, reduction)
    if weighting == "entropy":
        # A cross entropy is linear in its target.
        targets = num_heads * entropy_weights(targets, weighting_temperature)[..., None] * targets
    each = loss(_heads_as_images(logits), _heads_as_images(targets), temperature, "none")
    return reduce(ops.mean(ops.reshape(each, (-1, num_heads)), axis=1), reduction)


def entropy_weights(targets: KerasTensor, temperature: float | KerasTensor) -> KerasTensor:
    """Weights `(..., num_heads)` that sum to one, of targets `(..., num_heads, num_prototypes)`."""
    logarithm = ops.log(ops.where(targets > 1e-30, targets, 1.0))
    entropies = -ops.sum(targets * logarithm, axis=-1)
    return ops.stop_gradient(ops.softmax(-entropies / ops.cast(temperature, "float32"), axis=-1))


def check_ensemble(num_heads: int, weighting: str, weighting_temperature: float | KerasTensor) -> None:
    """Raises a ValueError unless there are heads, the weighting is a known one and its temperature > 0."""
    if num_heads < 1:
        raise ValueError(f"num_heads must be at least 1, got {num_heads}.")
    check_positive("weighting_temperature", weighting_temperature)
    if weighting not in WEIGHTINGS:
        near = difflib.get_close_matches(str(weighting), WEIGHTINGS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"weighting={weighting!r} is unknown; use one of {WEIGHTINGS}.{hint}")


def _heads_as_images(x: KerasTensor) -> KerasTensor:
    """`(..., batch, num_heads, num_prototypes)` to `(..., batch * num_heads, num_prototypes)`."""
    return ops.reshape(x, (*x.shape[:-3], -1, x.shape[-1]))
