"""Normalized knowledge distillation."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_not_negative,
    check_positive,
    check_rank,
    check_reduction,
    check_same_shape,
    to_float32,
)
from kerassl.losses.distillation.non_target import non_target_log_softmax, target_mask
from kerassl.losses.supervised.cross_entropy import labeled_mean


def nkd(
    student_logits: KerasTensor,
    teacher_logits: KerasTensor,
    labels: KerasTensor,
    gamma: float = 1.5,
    temperature: float | KerasTensor = 1.0,
    reduction: str = "mean",
) -> KerasTensor:
    """`-t_y log s_y - gamma T^2 sum_{i != y} N(t)_i log N(s)_i`, the teacher detached.

    s and t are the softmaxes of student and teacher, y the label, and N the softmax of the other classes'
    logits over the temperature T. `t_y` and `s_y` are taken at temperature 1. The cross entropy with the
    label is not part of it. Adding to the target's logit changes the first term alone.

    Paper: Yang et al., From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
    Normalized Loss and Customized Soft Labels, arXiv 2303.13005. Official code: yzd-v/cls_KD,
    `mmcls/models/dis_losses/nkd.py`.

    Args:
        student_logits: `(batch, num_classes)`.
        teacher_logits: `(batch, num_classes)`, detached here.
        labels: `(batch,)` integers; rows with a negative label are ignored, in the sum and in the
            mean.
        gamma: weight of the classes other than the target, at least 0.
        temperature: positive number or scalar tensor.
        reduction: `"mean"` over the labeled rows, or `"none"`.

    Returns:
        A float32 scalar, 0 where no row is labeled; or `(batch,)` with `"none"`, 0 at unlabeled rows.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a negative gamma, a temperature <= 0.

    Example:
        >>> from kerassl.losses import nkd
        >>> round(float(nkd([[0.0, 0.0]], [[2.0, 2.0]], [1])), 4)
        0.3466
    """
    student, teacher = to_float32(student_logits), ops.stop_gradient(to_float32(teacher_logits))
    for name, x in (("student_logits", student), ("teacher_logits", teacher)):
        check_rank(name, x, ("batch", "num_classes"))
    check_same_shape("student_logits", student, "teacher_logits", teacher)
    labels = ops.cast(labels, "int32")
    check_rank("labels", labels, ("batch",))
    check_same_shape("student_logits[:, 0]", student[:, 0], "labels", labels)
    check_not_negative("gamma", gamma)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    temperature = ops.cast(temperature, "float32")
    is_target = target_mask(labels, student.shape[1])
    log_s, log_t = ops.log_softmax(student, axis=-1), ops.log_softmax(teacher, axis=-1)
    of_target = -ops.sum(ops.where(is_target, ops.exp(log_t) * log_s, 0.0), axis=-1)
    log_s = non_target_log_softmax(student / temperature, is_target)
    log_t = non_target_log_softmax(teacher / temperature, is_target)
    of_others = -ops.sum(ops.where(is_target, 0.0, ops.exp(log_t) * log_s), axis=-1)
    each = of_target + gamma * ops.square(temperature) * of_others
    each = ops.where(labels >= 0, each, 0.0)
    return labeled_mean(each, labels) if reduction == "mean" else each
