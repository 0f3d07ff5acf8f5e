"""Cross entropy with a teacher's confident classes."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, reduce, to_float32
from kerassl.losses.supervised.cross_entropy import cross_entropy


def pseudo_label(
    student_logits: KerasTensor,
    teacher_logits: KerasTensor,
    threshold: float = 0.968,
    reduction: str = "mean",
) -> KerasTensor:
    """`[max t >= threshold] * (-log s_c)`, c the teacher's first class, the teacher detached.

    s and t are the softmaxes of student and teacher. Images below the threshold count in the mean with 0, so
    the loss grows with the share of confident images.

    Papers: Sohn et al., FixMatch, arXiv 2001.07685, equation 4, for images; Du et al., Learning from Future,
    arXiv 2209.06993, and Hoyer et al., DAFormer, arXiv 2111.14887, which weight all pixels of a batch by the
    share of confident ones instead.

    Args:
        student_logits: `(batch, num_classes)`, of a strongly augmented view.
        teacher_logits: `(batch, num_classes)`, of a weakly augmented view; detached here.
        threshold: threshold on the teacher's largest probability, in [0, 1]; 0 takes all.
        reduction: `"mean"` over all rows, or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, a threshold outside
            [0, 1].

    Example:
        >>> from kerassl.losses import pseudo_label
        >>> round(float(pseudo_label([[0.0, 0.0], [0.0, 0.0]], [[9.0, 0.0], [1.0, 0.0]], 0.9)), 4)
        0.3466
    """
    student, teacher = to_float32(student_logits), ops.stop_gradient(to_float32(teacher_logits))
    for name, x in (("student_logits", student), ("teacher_logits", teacher)):
        check_rank(name, x, ("batch", "num_classes"))
    check_same_shape("student_logits", student, "teacher_logits", teacher)
    check_reduction(reduction)
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold} must be in [0, 1]; 0.968 in the paper.")
    sure = ops.max(ops.softmax(teacher, axis=-1), axis=-1) >= threshold
    labels = ops.where(sure, ops.cast(ops.argmax(teacher, axis=-1), "int32"), -1)
    return reduce(cross_entropy(student, labels, reduction="none"), reduction)
