"""The discriminator's loss of MEAL V2."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, reduce, to_float32


def meal_v2_discriminator(
    student_scores: KerasTensor, teacher_scores: KerasTensor, reduction: str = "mean"
) -> KerasTensor:
    """Binary cross entropy of a discriminator that tells a student's outputs from its teachers'.

    The discriminator gives two logits. Their targets are 1 and 0 for the student, and 0 and 1 for the
    teachers; the mean is over both scores and both networks. Nothing is detached.

    Paper: Shen and Savvides, MEAL V2, arXiv 2009.08453, equation 4. Official code: szq0214/MEAL-V2, loss.py.

    Args:
        student_scores: `(batch, 2)`.
        teacher_scores: `(batch, 2)`.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; log 2 for scores of 0.

    Raises:
        ValueError: for shapes that differ or are not `(batch, 2)`, or an unknown reduction.

    Example:
        >>> from kerassl.losses import meal_v2_discriminator
        >>> round(float(meal_v2_discriminator([[0.0, 0.0]], [[0.0, 0.0]])), 4)
        0.6931
    """
    student, teacher = to_float32(student_scores), to_float32(teacher_scores)
    for name, scores in (("student_scores", student), ("teacher_scores", teacher)):
        check_rank(name, scores, ("batch", "2"))
    check_same_shape("student_scores", student, "teacher_scores", teacher)
    check_reduction(reduction)
    if student.shape[-1] != 2:
        raise ValueError(f"A discriminator gives two scores per image, got {student.shape[-1]}.")
    # -log sigmoid(x) = softplus(-x), -log(1 - sigmoid(x)) = softplus(x)
    signs = ops.convert_to_tensor([[-1.0, 1.0]])
    each = ops.softplus(signs * student) + ops.softplus(-signs * teacher)
    return reduce(ops.sum(each, axis=-1) / 4, reduction)
