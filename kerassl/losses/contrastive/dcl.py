"""The decoupled contrastive losses DCL and DCLW."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_reduction, embeddings, reduce
from kerassl.losses.contrastive.logsumexp import two_view_logsumexp
from kerassl.losses.contrastive.nt_xent import check_block_size, scaled


def dcl(
    z1: KerasTensor,
    z2: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
    block_size: int | None = None,
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """DCL: NT-Xent without the positive pair in the denominator, so that easy positives still attract.

    With normalized rows `z_1..z_2N` and `p(i)` the other view of the image of row `i`, `l_i = -<z_i, z_p(i)>
    / temperature + log sum_{k not in {i, p(i)}} exp(<z_i, z_k> / temperature)`, and NT-Xent is `log(1 +
    exp(l_i))`. Symmetric in the views; nothing is detached. The mean is over the 2N rows, as in `nt_xent`;
    the paper sums the two directions. The value may be negative.

    Paper: Yeh et al., Decoupled Contrastive Learning, arXiv 2110.06848, proposition 2. No code of the
    authors is known; raminnakhli/Decoupled-Contrastive-Learning computes one direction.

    Args:
        z1: `(batch, dim)` un-normalized embeddings of the first views.
        z2: `(batch, dim)` embeddings of the second views; row i is the same image as row i of `z1`.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean of the two directions of each image.
        block_size: as in `nt_xent`.
        candidates: as in `nt_xent`.
        first_row: as in `nt_xent`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`. A batch of one has no negatives: only the positive
        term is left.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, a temperature <= 0,
            a block size below 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import dcl
        >>> print(f"{float(dcl(np.eye(4), np.eye(4), temperature=0.5)):.4f}")
        -0.2082
    """
    positives, others = decoupled(z1, z2, temperature, reduction, block_size, candidates, first_row)
    return reduce(ops.mean(others, axis=0) - positives, reduction)


def dclw(
    z1: KerasTensor,
    z2: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    sigma: float = 0.5,
    reduction: str = "mean",
    block_size: int | None = None,
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """DCLW: DCL with larger weights for positive pairs that are farther apart.

    The positive term of `dcl` is multiplied by `w_i = 2 - exp(<z1_i, z2_i> / sigma) / mean_j exp(<z1_j, z2_j>
    / sigma)`, whose mean over the batch is 1. No gradient flows through the weights, as in lightly; the paper
    does not say, and the repository named in `dcl` lets it flow.

    Paper: Yeh et al., Decoupled Contrastive Learning, arXiv 2110.06848, section 3.

    Args:
        z1: `(batch, dim)` un-normalized embeddings of the first views.
        z2: `(batch, dim)` embeddings of the second views; row i is the same image as row i of `z1`.
        temperature: positive number or scalar tensor.
        sigma: positive number; the larger it is, the closer the weights are to 1.
        reduction: `"mean"`, or `"none"` for the mean of the two directions of each image.
        block_size: as in `nt_xent`.
        candidates: as in `nt_xent`; the weights are then those within the whole batch.
        first_row: as in `nt_xent`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, a temperature or sigma
            <= 0, a block size below 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import dclw
        >>> print(f"{float(dclw(np.eye(4), np.eye(4), temperature=0.5)):.4f}")
        -0.2082
    """
    check_positive("sigma", sigma)
    positives, others = decoupled(z1, z2, temperature, reduction, block_size, candidates, first_row)
    # The similarities are divided by the temperature; this rescales them to sigma.
    to_sigma = ops.cast(temperature, "float32") / sigma
    everyone = positives
    if candidates is not None:
        first, second, _ = scaled(*embeddings("z1", candidates[0], "z2", candidates[1]), temperature, None)
        everyone = ops.sum(first * second, axis=1)
    count = ops.cast(ops.shape(everyone)[0], "float32")
    log_mean = ops.logsumexp(everyone * to_sigma) - ops.log(count)
    weights = ops.stop_gradient(2.0 - ops.exp(positives * to_sigma - log_mean))
    return reduce(ops.mean(others, axis=0) - weights * positives, reduction)


def decoupled(
    z1: KerasTensor,
    z2: KerasTensor,
    temperature: float | KerasTensor,
    reduction: str,
    block_size: int | None,
    candidates: tuple[KerasTensor, KerasTensor] | None,
    first_row: int | KerasTensor,
) -> tuple[KerasTensor, KerasTensor]:
    """The similarities of the positive pairs `(batch,)`, and log-sum-exps over the other images `(2, batch)`.

    The latter are 0 for an image that has no others. Arguments are those of `dcl`, which are checked.
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    check_block_size(block_size)
    z1, z2, candidates = scaled(z1, z2, temperature, candidates)
    others = two_view_logsumexp(z1, z2, block_size, candidates, first_row, with_partner=False)
    # One image alone has no others.
    images = ops.shape(z1 if candidates is None else candidates[0])[0]
    return ops.sum(z1 * z2, axis=1), ops.where(images > 1, others, 0.0)
