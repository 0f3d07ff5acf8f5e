"""The supervised contrastive loss."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    l2_normalize,
    reduce,
    to_float32,
)
from kerassl.losses.contrastive.logsumexp import blockwise_logsumexp, logsumexp_over_candidates


def sup_con(
    z: KerasTensor,
    labels: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    base_temperature: float | None = None,
    reduction: str = "mean",
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """SupCon, the form with the sum outside the logarithm: each row finds all rows of its class.

    With normalized rows `z_i` and `P(i)` the other rows with the label of row `i`, `l_i = 1 / |P(i)| sum_{p
    in P(i)} (log sum_{a != i} exp(<z_i, z_a> / temperature) - <z_i, z_p> / temperature)`. A row that is alone
    in its class adds 0, but still serves as a negative. If each image is its own class, with its two views as
    rows, this is NT-Xent.

    The official code multiplies by `temperature / base_temperature` with a base of 0.07, which acts on the
    learning rate; the paper's equation has no such factor, and neither has the default.

    Paper: Khosla et al., Supervised Contrastive Learning, arXiv 2004.11362, equation 2 (L_out).
    Official code: HobbitLong/SupContrast, losses.py.

    Args:
        z: `(n, dim)` un-normalized embeddings: all views of all images.
        labels: `(n,)` integers, the class of each row.
        temperature: positive number or scalar tensor.
        base_temperature: positive number; `None` for the paper's equation.
        reduction: `"mean"` over all n rows, or `"none"`.
        candidates: embeddings `(all, dim)` and labels `(all,)` of the whole batch, of which `z` and `labels`
            are rows: the mean over the parts of a batch is the loss of the batch, and each of several
            devices computes its own part. `None` where they are the whole batch.
        first_row: the row of the candidates that is row 0 of `z`: an integer or an int32 scalar.

    Returns:
        A float32 scalar, or `(n,)` with `"none"`.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import sup_con
        >>> z = np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]
        >>> print(f"{float(sup_con(z, [0, 1, 2, 3, 0, 1, 2, 3], temperature=0.5)):.4f}")
        0.5944
    """
    check_positive("temperature", temperature)
    check_reduction(reduction)
    factor = 1.0
    if base_temperature is not None:
        check_positive("base_temperature", base_temperature)
        factor = ops.cast(temperature, "float32") / base_temperature
    root = ops.rsqrt(ops.cast(temperature, "float32"))
    z, labels = labeled_rows("z", z, "labels", labels, root)
    everyone, all_labels = z, labels
    if candidates is not None:
        everyone, all_labels = labeled_rows(
            "candidates[0]", candidates[0], "candidates[1]", candidates[1], root
        )
    own = first_row + ops.arange(ops.shape(z)[0], dtype="int32")
    if candidates is None:
        others = blockwise_logsumexp(z, (own,), ops.shape(z)[0])
    else:
        others = logsumexp_over_candidates(z, everyone, (own,), None)
    index = ops.arange(ops.shape(everyone)[0], dtype="int32")
    same = ops.logical_and(labels[:, None] == all_labels[None, :], own[:, None] != index[None, :])
    same = ops.cast(same, "float32")
    count = ops.sum(same, axis=1)
    # A row without positives has no loss; a single row has no other rows either.
    to_positives = ops.sum(z * ops.matmul(same, everyone), axis=1) / ops.maximum(count, 1.0)
    return reduce(factor * ops.where(count > 0, others - to_positives, 0.0), reduction)


def labeled_rows(
    name: str, z: KerasTensor, labels_name: str, labels: KerasTensor, scale: KerasTensor
) -> tuple:
    """Checked rows, normalized and scaled, and their labels."""
    z, labels = to_float32(z), ops.convert_to_tensor(labels)
    check_rank(name, z, ("n", "dim"))
    check_rank(labels_name, labels, ("n",))
    if None not in (z.shape[0], labels.shape[0]) and z.shape[0] != labels.shape[0]:
        raise ValueError(
            f"{name} has shape {tuple(z.shape)} but {labels_name} has shape {tuple(labels.shape)}; they must "
            "be equal in their first axis, one label for each row."
        )
    return l2_normalize(z) * scale, labels
