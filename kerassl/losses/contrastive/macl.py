"""The model-aware contrastive loss MACL."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_not_negative, check_positive, embeddings, l2_normalize, reduce
from kerassl.losses.contrastive.dcl import decoupled


def macl(
    z1: KerasTensor,
    z2: KerasTensor,
    temperature: float = 0.1,
    scaling_factor: float = 0.5,
    alignment_threshold: float = 0.0,
    reduction: str = "mean",
    block_size: int | None = None,
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """MACL: NT-Xent with a temperature that follows the alignment, and rows weighted against saturation.

    With A the mean cosine of the batch's positive pairs, all similarities are divided by `temperature * (1 +
    scaling_factor * (A - alignment_threshold))`. With `P_i` the softmax probability of row i's positive pair
    among the 2N - 1 other rows, the loss is the mean over the 2N rows of `-log P_i / (1 - P_i)`. Neither the
    temperature nor the weight `1 / (1 - P_i)` passes a gradient on.

    So the gradient is that of `dcl` at the adapted temperature: the weight cancels the factor `1 - P_i` by
    which NT-Xent's gradient is smaller. The value is computed without the quotient 0 / 0 that well separated
    pairs give: there it tends to 1. An adapted temperature below a hundredth of `temperature` is raised to
    that.

    Paper: Huang et al., Model-Aware Contrastive Learning: Towards Escaping the Dilemmas, arXiv 2207.07874.
    Official code: chenhaoxing/MACL, macl.py, which gives NaN where a softmax rounds to 1.

    Args:
        z1: `(batch, dim)` un-normalized embeddings of the first views.
        z2: `(batch, dim)` embeddings of the second views; row i is the same image as row i of `z1`.
        temperature: positive number, tau_0 in the paper.
        scaling_factor: alpha in the paper; >= 0. 0 holds the temperature.
        alignment_threshold: A_0 in the paper, the alignment at which the temperature is `temperature`.
        reduction: `"mean"`, or `"none"` for the mean of the two directions of each image.
        block_size: as in `nt_xent`.
        candidates: as in `nt_xent`; the alignment is then that of the whole batch.
        first_row: as in `nt_xent`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, a temperature <= 0, a
            negative scaling factor, a block size below 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import macl
        >>> z = np.ones((4, 2))
        >>> print(f"{float(macl(z, z)):.4f}, {7 / 6 * np.log(7):.4f}")
        2.2702, 2.2702
    """
    check_positive("temperature", temperature)
    check_not_negative("scaling_factor", scaling_factor)
    pair = embeddings("z1", z1, "z2", z2)
    pair = (
        pair
        if candidates is None
        else embeddings("candidates[0]", candidates[0], "candidates[1]", candidates[1])
    )
    alignment = ops.mean(ops.sum(l2_normalize(pair[0]) * l2_normalize(pair[1]), axis=1))
    growth = 1.0 + scaling_factor * (ops.stop_gradient(alignment) - alignment_threshold)
    adapted = temperature * ops.maximum(growth, 0.01)
    positives, others = decoupled(z1, z2, adapted, reduction, block_size, candidates, first_row)
    difference = others - positives
    # -log P = softplus(difference), 1 - P = sigmoid(difference). Their quotient is 1 within 1e-9 below -20.
    bounded = ops.stop_gradient(ops.maximum(difference, -20.0))
    value = ops.softplus(bounded) / ops.sigmoid(bounded)
    # The derivative of -log P is 1 - P, which the weight cancels.
    return reduce(ops.mean(value + difference - ops.stop_gradient(difference), axis=0), reduction)
