"""Cross entropy with the predictions of teachers."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    check_same_shape,
    reduce,
    to_float32,
)


def soft_cross_entropy(
    student_logits: KerasTensor,
    teacher_logits: KerasTensor | tuple[KerasTensor, ...],
    temperature: float | KerasTensor = 1.0,
    reduction: str = "mean",
) -> KerasTensor:
    """`T^2 H(p_t, softmax(s / T))`, p_t the mean of the teachers' `softmax(t_k / T)`, which are detached.

    `H(p, q) = -sum_c p_c log q_c`. With one teacher its gradient equals the gradient of `kd`, and its value
    is larger by `T^2` times the teacher's entropy, which is the value for equal logits.

    Papers: Chen et al., Big Self-Supervised Models are Strong Semi-Supervised Learners (SimCLR v2), arXiv
    2006.10029, equation 2, and google-research/simclr, colabs/distillation_self_training.ipynb, whence the
    factor; Shen and Savvides, MEAL V2, arXiv 2009.08453, equations 1 to 3, and szq0214/MEAL-V2, loss.py,
    with several teachers at T = 1.

    Args:
        student_logits: `(batch, num_classes)`.
        teacher_logits: `(batch, num_classes)`, or a tuple of such, one of each teacher; detached here.
        temperature: positive number or scalar tensor.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for shapes that differ or are not rank 2, no teacher, an unknown reduction, a
            temperature <= 0.

    Example:
        >>> from kerassl.losses import soft_cross_entropy
        >>> sure, unsure = [[50.0, 0.0]], [[0.0, 0.0]]
        >>> [round(float(soft_cross_entropy(unsure, t)), 4) for t in (sure, (sure, unsure))]
        [0.6931, 0.6931]
    """
    student = to_float32(student_logits)
    check_rank("student_logits", student, ("batch", "num_classes"))
    several = isinstance(teacher_logits, tuple)
    teachers = [to_float32(logits) for logits in (teacher_logits if several else (teacher_logits,))]
    if not teachers:
        raise ValueError("teacher_logits is empty; at least one teacher is needed.")
    for teacher in teachers:
        check_rank("teacher_logits", teacher, ("batch", "num_classes"))
        check_same_shape("student_logits", student, "teacher_logits", teacher)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    temperature = ops.cast(temperature, "float32")
    targets = sum(ops.softmax(teacher / temperature, axis=-1) for teacher in teachers) / len(teachers)
    log_s = ops.log_softmax(student / temperature, axis=-1)
    each = -ops.sum(ops.stop_gradient(targets) * log_s, axis=-1)
    return reduce(ops.square(temperature) * each, reduction)
