"""Squared distance of a student's features to a teacher's."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_reduction, embeddings, reduce


def feature_distance(student: KerasTensor, teacher: KerasTensor, reduction: str = "mean") -> KerasTensor:
    """`||s - t||^2`: the squares summed over the features, not averaged; the teacher is detached.

    Paper: Lee et al., Self-Distillation for Further Pre-training of Transformers, arXiv 2210.02871, section
    3. Official code: seanie12/self-distillation, trainer.py.

    Args:
        student: `(batch, dim)`.
        teacher: `(batch, dim)`, detached here.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; 0 for equal features.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or an unknown reduction.

    Example:
        >>> from kerassl.losses import feature_distance
        >>> round(float(feature_distance([[1.0, 2.0]], [[0.0, 0.0]])), 4)
        5.0
    """
    student, teacher = embeddings("student", student, "teacher", teacher)
    check_reduction(reduction)
    return reduce(ops.sum(ops.square(student - ops.stop_gradient(teacher)), axis=-1), reduction)
