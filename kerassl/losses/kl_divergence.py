"""The Kullback-Leibler divergence of a student's distribution from its teacher's."""

from keras import KerasTensor, ops

from kerassl.losses._common import check_rank, check_reduction, check_same_shape, reduce, to_float32


def kl_divergence(
    student_logits: KerasTensor, teacher_logits: KerasTensor, reduction: str = "mean"
) -> KerasTensor:
    """`KL(softmax(t) || softmax(s)) = sum_c p_t (log p_t - log p_s)` at temperature 1, the teacher detached.

    One direction. Divide the logits for other temperatures.

    Paper: Sarnthein et al., Random Teachers are Good Teachers, arXiv 2302.12091, equation 1. Official code:
    safelix/dinopl, dinopl/core.py.

    Args:
        student_logits: `(batch, num_classes)`.
        teacher_logits: `(batch, num_classes)`, detached here.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; 0 for logits that are equal up to a constant.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or an unknown reduction.

    Example:
        >>> from kerassl.losses import kl_divergence
        >>> float(kl_divergence([[1.0, 2.0]], [[1.0, 2.0]]))
        0.0
    """
    student, teacher = to_float32(student_logits), ops.stop_gradient(to_float32(teacher_logits))
    for name, x in (("student_logits", student), ("teacher_logits", teacher)):
        check_rank(name, x, ("batch", "num_classes"))
    check_same_shape("student_logits", student, "teacher_logits", teacher)
    check_reduction(reduction)
    log_s, log_t = ops.log_softmax(student, axis=-1), ops.log_softmax(teacher, axis=-1)
    return reduce(ops.sum(ops.exp(log_t) * (log_t - log_s), axis=-1), reduction)
