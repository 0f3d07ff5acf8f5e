"""The soft labels that USKD builds from a network's own predictions."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, to_float32
from kerassl.losses.distillation.non_target import non_target_log_softmax, target_mask
from kerassl.losses.supervised.cross_entropy import cross_entropy, labeled_mean


def uskd_target(logits: KerasTensor, labels: KerasTensor, reduction: str = "mean") -> KerasTensor:
    """`-(1 + p_y^2 - mean p_y^2) log p_y`: more confident images get a larger target.

    p is the softmax, y the label; the soft label before the logarithm is detached, and its mean is one. The
    mean is over the given labeled rows, so pass the logits of the global batch; the official code takes the
    mean per device.

    Paper: Yang et al., From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
    Normalized Loss and Customized Soft Labels, arXiv 2303.13005. Official code: yzd-v/cls_KD,
    `mmcls/models/dis_losses/uskd.py`, for labels that are not mixed.

    Args:
        logits: `(batch, num_classes)`.
        labels: `(batch,)` integers; rows with a negative label are ignored, in the sum and in the
            means.
        reduction: `"mean"` over the labeled rows, or `"none"`.

    Returns:
        A float32 scalar, 0 where no row is labeled; or `(batch,)` with `"none"`, 0 at unlabeled rows.

    Raises:
        ValueError: for logits that are not rank 2, labels of another shape, an unknown reduction.

    Example:
        >>> from kerassl.losses import uskd_target
        >>> round(float(uskd_target([[0.0, 0.0], [5.0, 5.0]], [1, 0])), 4)
        0.6931
    """
    labels = ops.cast(labels, "int32")
    # Minus the logarithm of the target's probability.
    each = cross_entropy(logits, labels, reduction="none")
    check_reduction(reduction)
    squares = ops.exp(-2.0 * ops.stop_gradient(each))
    each = (1.0 + squares - labeled_mean(squares, labels)) * each
    return labeled_mean(each, labels) if reduction == "mean" else each


def uskd_non_target(
    logits: KerasTensor, weak_logits: KerasTensor, labels: KerasTensor, reduction: str = "mean"
) -> KerasTensor:
    """`-sum_{i != y} z_i log N(p)_i`: the other classes, in the order of two classifiers' ranking.

    N is the softmax of the logits other than the label's. All classes are ranked by the sum of `p_i / (1 -
    p_y + 1e-6)` and the same term of the weak classifier; z is proportional to one over the rank and sums to
    one over the classes other than the label. Both rankings are detached.

    The ranking uses probabilities of both, as in the paper; the official code uses log-probabilities of the
    network itself.

    Paper: arXiv 2303.13005. Official code: yzd-v/cls_KD, `mmcls/models/dis_losses/uskd.py`.

    Args:
        logits: `(batch, num_classes)`.
        weak_logits: `(batch, num_classes)` of a classifier on earlier features, detached here.
        labels: `(batch,)` integers; rows with a negative label are ignored, in the sum and in the
            mean.
        reduction: `"mean"` over the labeled rows, or `"none"`.

    Returns:
        A float32 scalar, 0 where no row is labeled; or `(batch,)` with `"none"`, 0 at unlabeled rows.

    Raises:
        ValueError: for shapes that do not fit, or an unknown reduction.

    Example:
        >>> from kerassl.losses import uskd_non_target
        >>> round(float(uskd_non_target([[9.0, 0.0, 0.0]], [[9.0, 1.0, 0.0]], [0])), 4)
        0.6931
    """
    logits, weak = to_float32(logits), to_float32(weak_logits)
    for name, x in (("logits", logits), ("weak_logits", weak)):
        check_rank(name, x, ("batch", "num_classes"))
    check_same_shape("logits", logits, "weak_logits", weak)
    labels = ops.cast(labels, "int32")
    check_rank("labels", labels, ("batch",))
    check_same_shape("logits[:, 0]", logits[:, 0], "labels", labels)
    check_reduction(reduction)
    is_target = target_mask(labels, logits.shape[1])
    scores = ops.stop_gradient(_over_the_rest(logits, is_target) + _over_the_rest(weak, is_target))
    # The rank of each class in descending order.
    ranks = ops.argsort(ops.argsort(-scores, axis=-1), axis=-1)
    zipf = ops.where(is_target, 0.0, 1.0 / (1.0 + ops.cast(ranks, "float32")))
    zipf = zipf / ops.sum(zipf, axis=-1, keepdims=True)
    each = -ops.sum(zipf * non_target_log_softmax(logits, is_target), axis=-1)
    each = ops.where(labels >= 0, each, 0.0)
    return labeled_mean(each, labels) if reduction == "mean" else each


def _over_the_rest(logits: KerasTensor, is_target: KerasTensor) -> KerasTensor:
    """Each class's probability over the probability of all classes but the target."""
    p = ops.softmax(logits, axis=-1)
    of_target = ops.sum(ops.where(is_target, p, 0.0), axis=-1, keepdims=True)
    return p / (1.0 - of_target + 1e-6)
