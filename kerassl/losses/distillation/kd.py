"""Knowledge distillation on logits."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    check_same_shape,
    reduce,
    to_float32,
)


def kd(
    student_logits: KerasTensor,
    teacher_logits: KerasTensor,
    temperature: float | KerasTensor = 4.0,
    reduction: str = "mean",
) -> KerasTensor:
    """`T^2 KL(softmax(t / T) || softmax(s / T))`, with the teacher detached.

    The factor keeps the gradient's size as the temperature changes; for large T it tends to the gradient of
    half the squared difference of centered logits over the number of classes. It is the loss of the
    distillation step of SimCLR v2 (arXiv 2006.10029, equation 2) up to the teacher's entropy.

    Paper: Hinton et al., Distilling the Knowledge in a Neural Network, arXiv 1503.02531, section 2.

    Args:
        student_logits: `(batch, num_classes)`.
        teacher_logits: `(batch, num_classes)`, detached here.
        temperature: positive number or scalar tensor; 1 to 20 in the paper.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; 0 for logits that are equal up to a constant.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, a temperature <= 0.

    Example:
        >>> from kerassl.losses import kd
        >>> float(kd([[1.0, 2.0]], [[3.0, 4.0]]))
        0.0
    """
    student, teacher = to_float32(student_logits), ops.stop_gradient(to_float32(teacher_logits))
    for name, x in (("student_logits", student), ("teacher_logits", teacher)):
        check_rank(name, x, ("batch", "num_classes"))
    check_same_shape("student_logits", student, "teacher_logits", teacher)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    temperature = ops.cast(temperature, "float32")
    log_s = ops.log_softmax(student / temperature, axis=-1)
    log_t = ops.log_softmax(teacher / temperature, axis=-1)
    each = ops.sum(ops.exp(log_t) * (log_t - log_s), axis=-1)
    return reduce(ops.square(temperature) * each, reduction)
