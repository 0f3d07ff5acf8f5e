"""Relational knowledge distillation: match the student's distances and angles with the teacher's."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, l2_normalize, to_float32


def rkd_distance(student: KerasTensor, teacher: KerasTensor) -> KerasTensor:
    """Mean Huber loss of the two matrices of distances, each over the mean of its positive entries.

    Paper: Park et al., Relational Knowledge Distillation, arXiv 1904.05068, equations 4 to 6. Official
    code: lenscloth/RKD, metric/loss.py. The teacher is detached; the student's mean distance is not.

    Args:
        student: `(batch, dim)` embeddings.
        teacher: `(batch, other_dim)` embeddings, detached here; the width may differ.

    Returns:
        A float32 scalar; 0 if one is a scaled, rotated and shifted copy of the other, and for a batch of two.

    Raises:
        ValueError: for wrong ranks or batches that differ.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import rkd_distance
        >>> x = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
        >>> round(float(rkd_distance(5 * x[:, ::-1] + 1, x)), 6)
        0.0
    """
    student, teacher = _pair(student, teacher)
    return ops.mean(_huber(_relative_distances(student) - _relative_distances(teacher)))


def rkd_angle(student: KerasTensor, teacher: KerasTensor) -> KerasTensor:
    """Mean Huber loss of the cosines of the angles of all triples; memory grows with the cube of the batch.

    Paper: arXiv 1904.05068, equations 7 to 9. Official code: lenscloth/RKD, metric/loss.py. As in the
    official code, the mean is over all triples, including triples with equal members, whose cosine is 0 on
    both sides.

    Args:
        student: `(batch, dim)` embeddings.
        teacher: `(batch, other_dim)` embeddings, detached here.

    Returns:
        A float32 scalar; 0 if one is a scaled, rotated and shifted copy of the other.

    Raises:
        ValueError: for wrong ranks or batches that differ.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import rkd_angle
        >>> x = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
        >>> round(float(rkd_angle(5 * x[:, ::-1] + 1, x)), 6)
        0.0
    """
    student, teacher = _pair(student, teacher)
    return ops.mean(_huber(_angles(student) - _angles(teacher)))


def _pair(student: KerasTensor, teacher: KerasTensor):
    student, teacher = to_float32(student), ops.stop_gradient(to_float32(teacher))
    for name, x in (("student", student), ("teacher", teacher)):
        check_rank(name, x, ("batch", "dim"))
    rows = student.shape[0], teacher.shape[0]
    if None not in rows and rows[0] != rows[1]:
        raise ValueError(
            f"student has shape {tuple(student.shape)} but teacher has shape {tuple(teacher.shape)}; "
            "the rows of both must come from the same images."
        )
    return student, teacher


def _huber(x: KerasTensor):
    size = ops.abs(x)
    return ops.where(size < 1, 0.5 * ops.square(x), size - 0.5)


def _relative_distances(x: KerasTensor):
    # Differences, not the expanded square, which loses small distances.
    squares = ops.sum(ops.square(x[:, None] - x[None]), axis=-1)
    # Written so that NaN counts as apart, and stays.
    apart = ops.logical_not(squares <= 1e-12)
    distances = ops.where(apart, ops.sqrt(ops.where(apart, squares, 1.0)), 0.0)
    count = ops.maximum(ops.sum(ops.cast(apart, "float32")), 1.0)
    mean = ops.sum(distances) / count
    return distances / ops.where(mean > 0, mean, 1.0)


def _angles(x: KerasTensor):
    directions = l2_normalize(x[None] - x[:, None])
    return ops.matmul(directions, ops.swapaxes(directions, 1, 2))
