"""The cross-view cross entropy of DINO."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, to_float32
from kerassl.losses.redundancy.cross_view import cross_view_cross_entropy


def dino(
    student_logits: KerasTensor,
    teacher_probs: KerasTensor,
    student_temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """Mean over the pairs (teacher view u, student view v != u) of the cross entropy `H(t_u, s_v)`.

    `s_v = softmax(student_logits_v / student_temperature)`; teacher view u is the same crop as student
    view u, and that pair is left out: `U (V - 1)` pairs with U teacher and V student views.

    Paper: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, arXiv 2104.14294,
    equations 1 to 3. Official code: facebookresearch/dino, main_dino.py.

    Args:
        student_logits: `(num_student_views, batch, num_prototypes)`, the teacher's views first.
        teacher_probs: `(num_teacher_views, batch, num_prototypes)`, centered and sharpened, as
            `dino_teacher_probs` returns them; detached here.
        student_temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean over pairs of each image.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; log(num_prototypes) for a uniform student.

    Raises:
        ValueError: if there is no pair of different views, if the teacher has more views than the
            student, for shapes that disagree, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import dino, dino_teacher_probs
        >>> teacher = dino_teacher_probs(np.ones((2, 3, 8)), center=np.zeros(8), temperature=0.04)
        >>> print(f"{float(dino(np.zeros((4, 3, 8)), teacher)):.4f}, log 8 is {np.log(8):.4f}")
        2.0794, log 8 is 2.0794
    """
    return cross_view_cross_entropy(
        "dino",
        "student_logits",
        student_logits,
        "teacher_probs",
        teacher_probs,
        "student_temperature",
        student_temperature,
        reduction,
    )


def dino_teacher_probs(
    teacher_logits: KerasTensor, center: KerasTensor, temperature: float | KerasTensor = 0.04
) -> KerasTensor:
    """Centers and sharpens teacher logits: `softmax((g - c) / tau_t)`.

    Paper: arXiv 2104.14294, section 3.1. The center is state of the method; a step uses the center of the
    previous steps.

    Args:
        teacher_logits: `(..., num_prototypes)`.
        center: `(num_prototypes,)` running mean of the teacher's logits.
        temperature: positive number or scalar tensor (a schedule).

    Returns:
        Float32 probabilities shaped as `teacher_logits`, detached.

    Raises:
        ValueError: for a temperature <= 0.

    Example:
        >>> from kerassl.losses import dino_teacher_probs
        >>> [float(p) for p in dino_teacher_probs([1.0, 3.0], center=[1.0, 3.0])]
        [0.5, 0.5]
    """
    check_positive("temperature", temperature)
    centered = to_float32(teacher_logits) - to_float32(center)
    return ops.stop_gradient(ops.softmax(centered / ops.cast(temperature, "float32"), axis=-1))
