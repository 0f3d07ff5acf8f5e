"""SEED: match the student's similarities to a queue of teacher embeddings with the teacher's."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    embeddings,
    l2_normalize,
    reduce,
    to_float32,
)


def seed_distillation(
    student: KerasTensor,
    teacher: KerasTensor,
    queue: KerasTensor,
    student_temperature: float | KerasTensor = 0.2,
    teacher_temperature: float | KerasTensor = 0.01,
    reduction: str = "mean",
) -> KerasTensor:
    """Cross entropy of the softmaxes of similarities to the image's own teacher embedding and to a queue.

    With s, t and d of length one, the logits are `[s . t, s . d_1, ...] / tau_s` for the student and
    `[t . t, t . d_1, ...] / tau_t` for the teacher. Teacher and queue are detached.

    Paper: Fang et al., SEED: Self-supervised Distillation for Visual Representation, arXiv 2101.04731,
    equations 1 to 4. Official code: jacobswan1/SEED, seed/builder.py.

    Args:
        student: `(batch, dim)` embeddings.
        teacher: `(batch, dim)` embeddings of the same images.
        queue: `(size, dim)` unit-length teacher embeddings of other images.
        student_temperature: positive number or scalar tensor.
        teacher_temperature: positive number or scalar tensor; toward 0 the loss becomes InfoNCE with the
            teacher's embedding as the key.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; the teacher's entropy where both agree.

    Raises:
        ValueError: for shapes that disagree, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import seed_distillation
        >>> loss = seed_distillation([[1.0, 0.0]], [[1.0, 0.0]], np.array([[0.0, 1.0]]), 1.0, 0.01)
        >>> print(f"{float(loss):.4f}, InfoNCE is {np.log(1 + np.exp(-1)):.4f}")
        0.3133, InfoNCE is 0.3133
    """
    student, teacher = embeddings("student", student, "teacher", teacher)
    queue = to_float32(queue)
    check_rank("queue", queue, ("size", "dim"))
    if None not in (queue.shape[1], student.shape[1]) and queue.shape[1] != student.shape[1]:
        raise ValueError(
            f"queue has shape {tuple(queue.shape)} but student has shape {tuple(student.shape)}; "
            "widths must be equal."
        )
    check_positive("student_temperature", student_temperature)
    check_positive("teacher_temperature", teacher_temperature)
    check_reduction(reduction)
    student, teacher = l2_normalize(student), ops.stop_gradient(l2_normalize(teacher))
    queue = ops.transpose(ops.stop_gradient(queue))

    def logits(x: KerasTensor, temperature: float | KerasTensor):
        own = ops.sum(x * teacher, axis=1, keepdims=True)
        return ops.concatenate([own, ops.matmul(x, queue)], axis=1) / ops.cast(temperature, "float32")

    targets = ops.softmax(logits(teacher, teacher_temperature), axis=1)
    log_p = ops.log_softmax(logits(student, student_temperature), axis=1)
    return reduce(-ops.sum(targets * log_p, axis=1), reduction)
