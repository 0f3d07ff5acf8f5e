"""The masked-token cross entropy of iBOT."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    check_same_shape,
    reduce,
    to_float32,
)


def ibot(
    student_logits: KerasTensor,
    teacher_probs: KerasTensor,
    mask: KerasTensor,
    student_temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """Cross entropy of the student's masked tokens with the teacher's tokens at the same positions.

    `l = sum_i m_i H(t_i, s_i) / max(1, sum_i m_i)` of each crop, with
    `s_i = softmax(student_logits_i / student_temperature)`, and the mean over crops, a crop without masked
    tokens counting as 0. One direction; the teacher is detached here. This is the mean of the official code;
    the paper's equation 1 is the sum over a crop's masked tokens.

    Paper: Zhou et al., iBOT: Image BERT Pre-Training with Online Tokenizer, arXiv 2111.07832, equation 1.
    Official code: bytedance/ibot, main_ibot.py.

    Args:
        student_logits: `(batch, tokens, num_prototypes)` of crops that the student saw masked.
        teacher_probs: `(batch, tokens, num_prototypes)` of the same crops unmasked, centered and sharpened by
            `dino_teacher_probs` or assigned by `sinkhorn`; detached here.
        mask: `(batch, tokens)`, 1 or True for a token that was masked and counts, 0 otherwise.
        student_temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean over the masked tokens of each crop.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; 0 if nothing is masked; log(num_prototypes) for a
        uniform student otherwise.

    Raises:
        ValueError: for shapes that disagree, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import ibot
        >>> teacher, mask = np.full((2, 4, 8), 1 / 8), [[1, 1, 0, 0], [0, 0, 0, 0]]
        >>> print(np.array(ibot(np.zeros((2, 4, 8)), teacher, mask, reduction="none")).round(4))
        [2.0794 0.    ]
    """
    logits, targets = to_float32(student_logits), ops.stop_gradient(to_float32(teacher_probs))
    mask = to_float32(mask)
    check_rank("student_logits", logits, ("batch", "tokens", "num_prototypes"))
    check_same_shape("student_logits", logits, "teacher_probs", targets)
    check_rank("mask", mask, ("batch", "tokens"))
    check_same_shape("one prototype of student_logits", logits[..., 0], "mask", mask)
    check_positive("student_temperature", student_temperature)
    check_reduction(reduction)
    logits = logits / ops.cast(student_temperature, "float32")
    logits = logits - ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    # H(t, s) = log_sum_exp(s) sum(t) - <t, s>: no log-probability is written out.
    log_sum_exp = ops.log(ops.sum(ops.exp(logits), axis=-1))
    per_token = log_sum_exp * ops.sum(targets, axis=-1) - ops.sum(targets * logits, axis=-1)
    per_crop = ops.sum(per_token * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0)
    return reduce(per_crop, reduction)
