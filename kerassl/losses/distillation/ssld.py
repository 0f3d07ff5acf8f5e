"""The label-free logit distillation of SSLD."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, reduce, to_float32


def ssld(student_logits: KerasTensor, teacher_logits: KerasTensor, reduction: str = "mean") -> KerasTensor:
    """`1/2 [KL(p_t || p_s) + KL(p_s || p_t)]` at temperature 1, with the teacher detached.

    The paper calls it a Jensen-Shannon divergence; its code, followed here, is the halved symmetric
    (Jeffreys) divergence, which is not bounded. It equals `1/2 sum_c (p_t - p_s)(log p_t - log p_s)`.
    The official code adds 1e-12 inside the logarithms; log-softmax is finite for all finite logits and
    needs none.

    Paper: Cui et al., Beyond Self-Supervision: A Simple Yet Effective Network Distillation Alternative to
    Improve Backbones, arXiv 2103.05959. Official code: PaddlePaddle/PaddleClas, ppcls/loss/dmlloss.py.

    Args:
        student_logits: `(batch, num_classes)`.
        teacher_logits: `(batch, num_classes)`, detached here.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; 0 for logits that are equal up to a constant.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or an unknown reduction.

    Example:
        >>> from kerassl.losses import ssld
        >>> float(ssld([[1.0, 2.0]], [[1.0, 2.0]]))
        0.0
    """
    student, teacher = to_float32(student_logits), ops.stop_gradient(to_float32(teacher_logits))
    for name, x in (("student_logits", student), ("teacher_logits", teacher)):
        check_rank(name, x, ("batch", "num_classes"))
    check_same_shape("student_logits", student, "teacher_logits", teacher)
    check_reduction(reduction)
    log_s, log_t = ops.log_softmax(student, axis=-1), ops.log_softmax(teacher, axis=-1)
    per_class = (ops.exp(log_t) - ops.exp(log_s)) * (log_t - log_s)
    return reduce(ops.sum(per_class, axis=-1) / 2, reduction)
