"""The cross entropy of MSN and its targets."""

from collections.abc import Callable

from keras import KerasTensor, ops

from kerassl.losses.clustering.sinkhorn import sinkhorn
from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    check_same_shape,
    reduce,
    to_float32,
)


def msn(
    anchor_logits: KerasTensor,
    targets: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """Mean over anchor views v of the cross entropy `H(p+, softmax(anchor_logits_v / temperature))`.

    All anchors of an image share its target p+. The regularizer is `prior_divergence`.

    Paper: Assran et al., Masked Siamese Networks for Label-Efficient Learning, arXiv 2204.07141, equation 1.
    Official code: facebookresearch/msn, src/losses.py.

    Args:
        anchor_logits: `(num_anchors, batch, num_prototypes)` cosines of embeddings and prototypes.
        targets: `(batch, num_prototypes)`, as `msn_targets` returns them; detached here.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean over anchors of each image.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; log(num_prototypes) for equal prototypes.

    Raises:
        ValueError: for shapes that disagree, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import msn, msn_targets
        >>> targets = msn_targets(np.eye(3, 8))
        >>> print(f"{float(msn(np.zeros((4, 3, 8)), targets)):.4f}, log 8 is {np.log(8):.4f}")
        2.0794, log 8 is 2.0794
    """
    logits, targets = to_float32(anchor_logits), ops.stop_gradient(to_float32(targets))
    check_rank("anchor_logits", logits, ("anchors", "batch", "num_prototypes"))
    check_rank("targets", targets, ("batch", "num_prototypes"))
    check_same_shape("one anchor of anchor_logits", logits[0], "targets", targets)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    log_probabilities = ops.log_softmax(logits / ops.cast(temperature, "float32"), axis=-1)
    return reduce(-ops.sum(targets * ops.mean(log_probabilities, axis=0), axis=-1), reduction)


def msn_targets(
    target_logits: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    sharpening: float | KerasTensor = 0.25,
    sinkhorn_iterations: int = 3,
    *,
    prior: KerasTensor | None = None,
    gather: Callable[[KerasTensor], KerasTensor] | None = None,
) -> KerasTensor:
    """Sharpened probabilities `p ** (1 / T) / sum(p ** (1 / T))`, spread over the prototypes by Sinkhorn.

    `p = softmax(target_logits / temperature)` and T is the sharpening: together they are the softmax at
    `temperature * sharpening`. Sinkhorn-Knopp starts from these probabilities, not from the logits.

    Paper: arXiv 2204.07141, section 3. Official code: facebookresearch/msn, src/losses.py.

    Args:
        target_logits: `(batch, num_prototypes)` cosines of embeddings and prototypes, or `(batch, num_heads,
            num_prototypes)`.
        temperature: temperature of the anchors' probabilities; positive number or scalar tensor.
        sharpening: positive number or scalar tensor; 1 leaves the probabilities unchanged.
        sinkhorn_iterations: number of Sinkhorn-Knopp iterations; 0 for sharpened probabilities alone.
        prior: as in `sinkhorn`.
        gather: as in `sinkhorn`.

    Returns:
        Float32, shaped as `target_logits`, detached.

    Raises:
        ValueError: for a temperature or sharpening <= 0, and as `sinkhorn`.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import msn_targets
        >>> targets = msn_targets([[0.1, 0.0]], sharpening=0.5, sinkhorn_iterations=0)
        >>> print(np.array(targets).round(3))
        [[0.881 0.119]]
    """
    check_positive("temperature", temperature)
    check_positive("sharpening", sharpening)
    logits = to_float32(target_logits) / ops.cast(temperature, "float32") / ops.cast(sharpening, "float32")
    if sinkhorn_iterations == 0:
        return ops.stop_gradient(ops.softmax(logits, axis=-1))
    log_probabilities = ops.log_softmax(logits, axis=-1)
    return sinkhorn(log_probabilities, 1.0, sinkhorn_iterations, prior=prior, gather=gather)
