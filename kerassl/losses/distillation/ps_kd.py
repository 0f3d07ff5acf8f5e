"""Cross entropy with labels that are softened by an earlier prediction."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, to_float32
from kerassl.losses.supervised.cross_entropy import cross_entropy, labeled_mean


def ps_kd(
    logits: KerasTensor,
    past: KerasTensor,
    labels: KerasTensor,
    weight: float | KerasTensor,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> KerasTensor:
    """`H((1 - a) one_hot(y) + a past, softmax(logits))`, the past detached.

    Up to the entropy of the target, this is a Kullback-Leibler divergence. With a uniform past it is label
    smoothing by a.

    Paper: Kim et al., Self-Knowledge Distillation with Progressive Refinement of Targets, arXiv 2006.12000.
    Official code: lgcnsai/PS-KD-Pytorch, `main.py`, `loss/pskd_loss.py`.

    Args:
        logits: `(batch, num_classes)`.
        past: `(batch, num_classes)` earlier predicted probabilities, detached here; a row of zeros is an
            image that was not seen yet, whose target is its label.
        labels: `(batch,)` integers; rows with a negative label are ignored, in the sum and in the
            mean.
        weight: a, the share of the past in the target, in [0, 1]; a number or scalar tensor.
        label_smoothing: share of the uniform distribution in the label's part of the target, in [0, 1).
        reduction: `"mean"` over the labeled rows, or `"none"`.

    Returns:
        A float32 scalar, 0 where no row is labeled; or `(batch,)` with `"none"`, 0 at unlabeled rows.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, or a label smoothing outside [0, 1).

    Example:
        >>> from kerassl.losses import ps_kd
        >>> round(float(ps_kd([[0.0, 0.0]], [[0.9, 0.1]], [1], weight=0.5)), 4)
        0.6931
    """
    logits, past = to_float32(logits), ops.stop_gradient(to_float32(past))
    for name, x in (("logits", logits), ("past", past)):
        check_rank(name, x, ("batch", "num_classes"))
    check_same_shape("logits", logits, "past", past)
    labels = ops.cast(labels, "int32")
    check_reduction(reduction)
    of_label = cross_entropy(logits, labels, label_smoothing, reduction="none")
    of_past = -ops.sum(past * ops.log_softmax(logits, axis=-1), axis=-1)
    weight = ops.where(ops.sum(past, axis=-1) > 0, ops.cast(weight, "float32"), 0.0)
    each = ops.where(labels >= 0, (1.0 - weight) * of_label + weight * of_past, 0.0)
    return labeled_mean(each, labels) if reduction == "mean" else each
