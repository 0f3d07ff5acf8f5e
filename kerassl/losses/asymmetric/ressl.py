"""The relational loss of ReSSL: match a student's similarities to a queue with a teacher's."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_reduction, embeddings, l2_normalize, reduce
from kerassl.losses.contrastive.info_nce import rows_as_wide_as


def ressl(
    q: KerasTensor,
    k: KerasTensor,
    queue: KerasTensor,
    student_temperature: float | KerasTensor = 0.1,
    teacher_temperature: float | KerasTensor = 0.04,
    reduction: str = "mean",
) -> KerasTensor:
    """Cross entropy between two softmaxes of cosines with the queue: the teacher's and the student's.

    With normalized rows, `p_t = softmax_n(<k_i, n> / teacher_temperature)`, `p_s = softmax_n(<q_i, n> /
    student_temperature)` over the rows n of the queue, and `l_i = -sum_n p_t(n) log p_s(n)`. A sample's own
    key is not in the queue, so it is never a target. One direction; the teacher's side is detached inside.
    The smallest value is the teacher's entropy, not 0.

    Paper: Zheng et al., ReSSL: Relational Self-Supervised Learning with Weak Augmentation, arXiv 2107.09282,
    section 3. Official code: KyleZheng1997/ReSSL, network/ressl.py.

    Args:
        q: `(batch, dim)` un-normalized student embeddings of the strong views.
        k: `(batch, dim)` un-normalized teacher embeddings of the images' weak views; detached here.
        queue: `(size, dim)` embeddings of other images.
        student_temperature: positive number or scalar tensor.
        teacher_temperature: positive number or scalar tensor; smaller than the student's in the paper, for a
            sharper target.
        reduction: `"mean"`, or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; log(size) if all rows of the queue are equal.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import ressl
        >>> q, queue = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]] * 8)
        >>> print(f"{float(ressl(q, q, queue)):.4f}, log 8 is {np.log(8):.4f}")
        2.0794, log 8 is 2.0794
    """
    q, k = embeddings("q", q, "k", k)
    check_positive("student_temperature", student_temperature)
    check_positive("teacher_temperature", teacher_temperature)
    check_reduction(reduction)
    queue = ops.transpose(l2_normalize(rows_as_wide_as(q, "queue", queue)))
    q, k = l2_normalize(q), l2_normalize(ops.stop_gradient(k))
    student = ops.matmul(q / ops.cast(student_temperature, "float32"), queue)
    teacher = ops.softmax(ops.matmul(k / ops.cast(teacher_temperature, "float32"), queue), axis=1)
    teacher = ops.stop_gradient(teacher)
    return reduce(ops.logsumexp(student, axis=1) - ops.sum(teacher * student, axis=1), reduction)
