"""The contrastive loss of SogCLR and iSogCLR, over normalizers that are remembered for each image."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_reduction, embeddings, l2_normalize, reduce
from kerassl.losses.contrastive.logsumexp import MASKED


def sogclr(
    z1: KerasTensor,
    z2: KerasTensor,
    log_normalizers: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """SogCLR: a negative's weight is `exp(s / temperature)` over its anchor's remembered mean.

    An anchor has the cosines s with both views of all other images of the batch, 2 (N - 1) of them, and a
    normalizer u. With `p = exp(s / temperature) / u`, without gradient, its loss is `-s_positive + sum_s p s
    / (2 (N - 1))`; the two views of an image are added. There is no 1 / temperature: if u is the batch's own
    mean (`log_mean_similarities`), the gradient is `2 * temperature` times the gradient of `dcl`. Since the
    weights are detached, the value itself says little.

    Paper: Yuan et al., Provable Stochastic Optimization for Global Contrastive Learning, arXiv 2202.12387,
    algorithm 1. Official code: Optimization-AI/SogCLR, sogclr/builder.py.

    Args:
        z1: `(batch, dim)` un-normalized embeddings of the first views.
        z2: `(batch, dim)` embeddings of the second views; row i is the same image as row i of `z1`.
        log_normalizers: `(batch, 2)`, log u of the first and of the second view of each image.
        temperature: positive number or scalar tensor, or `(batch,)`, one for each image.
        reduction: `"mean"`, or `"none"`.
        candidates: as in `nt_xent`.
        first_row: as in `nt_xent`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`. A batch of one has no negatives: its value is the
        positive term.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, or a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import log_mean_similarities, sogclr
        >>> z = np.eye(4)
        >>> log_normalizers = log_mean_similarities(z, z)
        >>> print(f"{float(sogclr(z, z, log_normalizers)):.4f}")
        -2.0000
    """
    check_reduction(reduction)
    positives, negatives = _pairs(z1, z2, log_normalizers, temperature, candidates, first_row)
    return reduce(ops.sum(negatives, axis=1) - 2.0 * positives, reduction)


def log_mean_similarities(
    z1: KerasTensor,
    z2: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """The logarithm of each anchor's mean `exp(s / temperature)` over the other images of the batch.

    Args:
        z1: as in `sogclr`.
        z2: as in `sogclr`.
        temperature: as in `sogclr`.
        candidates: as in `nt_xent`.
        first_row: as in `nt_xent`.

    Returns:
        `(batch, 2)` float32 for the first and the second views, without gradient; 0 for a batch of one.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import log_mean_similarities
        >>> z = np.ones((3, 2))
        >>> print(f"{float(log_mean_similarities(z, z, temperature=0.5)[0, 0]):.4f}")
        2.0000
    """
    _, cosines, others = _cosines(z1, z2, candidates, first_row)
    logits = ops.where(others, cosines / _of_anchors(temperature), MASKED)
    count = _count(others)
    means = ops.where(count > 0, ops.logsumexp(logits, axis=1) - ops.log(ops.maximum(count, 1.0)), 0.0)
    return ops.stop_gradient(_by_image(means))


def temperature_gradients(
    z1: KerasTensor,
    z2: KerasTensor,
    log_normalizers: KerasTensor,
    temperature: float | KerasTensor,
    robustness: float,
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """Derivative of each image's iSogCLR objective with respect to its temperature.

    The objective of an anchor is `temperature * (log u + rho) - s_positive` with the normalizer u of
    `sogclr`; its derivative is `log u + rho - sum_s p s / (2 (N - 1) temperature)`. An image's value is the
    mean over its two views.

    Paper: Qiu et al., Not All Semantics are Created Equal, arXiv 2305.11965, algorithm 1. Official code:
    zhqiu/contrastive-learning-iSogCLR, unimodal_exps/losses.py.

    Args:
        z1: as in `sogclr`.
        z2: as in `sogclr`.
        log_normalizers: as in `sogclr`.
        temperature: as in `sogclr`.
        robustness: rho, the penalty on high temperatures.
        candidates: as in `nt_xent`.
        first_row: as in `nt_xent`.

    Returns:
        `(batch,)` float32, without gradient.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import log_mean_similarities, temperature_gradients
        >>> z = np.ones((3, 2))
        >>> gradients = temperature_gradients(z, z, log_mean_similarities(z, z), 0.1, robustness=6.0)
        >>> print(f"{float(gradients[0]):.4f}")
        6.0000
    """
    _, negatives = _pairs(z1, z2, log_normalizers, temperature, candidates, first_row)
    pulls = negatives / ops.reshape(ops.cast(temperature, "float32"), (-1, 1))
    gradients = ops.cast(log_normalizers, "float32") + robustness - pulls
    return ops.stop_gradient(ops.mean(gradients, axis=1))


def _pairs(
    z1: KerasTensor,
    z2: KerasTensor,
    log_normalizers: KerasTensor,
    temperature: float | KerasTensor,
    candidates: tuple[KerasTensor, KerasTensor] | None,
    first_row: int | KerasTensor,
) -> tuple[KerasTensor, KerasTensor]:
    """The cosines of the positive pairs `(batch,)`, and the weighted means of the negatives' `(batch, 2)`."""
    check_positive("temperature", temperature)
    positives, cosines, others = _cosines(z1, z2, candidates, first_row)
    normalizers = ops.reshape(ops.transpose(ops.cast(log_normalizers, "float32")), (-1, 1))
    logits = ops.where(others, cosines / _of_anchors(temperature) - normalizers, MASKED)
    weights = ops.stop_gradient(ops.exp(logits))
    return positives, _by_image(ops.sum(weights * cosines, axis=1) / ops.maximum(_count(others), 1.0))


def _cosines(
    z1: KerasTensor,
    z2: KerasTensor,
    candidates: tuple[KerasTensor, KerasTensor] | None,
    first_row: int | KerasTensor,
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """Similarities of the positive pairs and of the 2n anchors with all rows, and a mask of other images."""
    z1, z2 = embeddings("z1", z1, "z2", z2)
    if candidates is None:
        candidates = z1, z2
    everyone = embeddings("candidates[0]", candidates[0], "candidates[1]", candidates[1])
    first, second = l2_normalize(z1), l2_normalize(z2)
    count = ops.shape(everyone[0])[0]
    own = first_row + ops.arange(ops.shape(z1)[0], dtype="int32")
    others = ops.not_equal(own[:, None], ops.arange(count, dtype="int32")[None, :])
    cosines = ops.matmul(
        ops.concatenate([first, second]), ops.transpose(l2_normalize(ops.concatenate(everyone)))
    )
    return ops.sum(first * second, axis=1), cosines, ops.tile(others, (2, 2))


def _of_anchors(temperature: float | KerasTensor) -> KerasTensor:
    """The temperatures of the 2n anchors as a column, or a single one."""
    check_positive("temperature", temperature)
    temperature = ops.cast(temperature, "float32")
    return ops.tile(temperature, 2)[:, None] if len(temperature.shape) else temperature


def _by_image(of_anchors: KerasTensor) -> KerasTensor:
    """`(batch, 2)` from the values of first views followed by second views."""
    return ops.transpose(ops.reshape(of_anchors, (2, -1)))


def _count(others: KerasTensor) -> KerasTensor:
    return ops.sum(ops.cast(others, "float32"), axis=1)
