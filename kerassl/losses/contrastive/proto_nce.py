"""ProtoNCE's term on prototypes: find a query's cluster among others, each with its own temperature."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, l2_normalize, to_float32


def proto_nce(
    q: KerasTensor,
    prototypes: KerasTensor,
    densities: KerasTensor,
    targets: KerasTensor,
    mask: KerasTensor | None = None,
    reduction: str = "mean",
) -> KerasTensor:
    """Mean of `-log softmax_j(q . c_j / phi_j)` at each query's own prototype, for one clustering.

    A query whose target is negative belongs to no cluster: its loss is 0 and it does not count in the mean.

    Paper: Li et al., Prototypical Contrastive Learning of Unsupervised Representations, arXiv 2005.04966,
    equation 11. Official code: salesforce/PCL, `pcl/builder.py`.

    Args:
        q: `(batch, dim)` queries of any length.
        prototypes: `(number, dim)` unit vectors that include each query's prototype: those of the batch,
            possibly repeated, as in the official code, and negatives.
        densities: `(number,)` positive temperatures phi of the prototypes.
        targets: `(batch,)` integers, the row of each query's own prototype.
        mask: boolean `(number,)`; where false, a row is ignored.
        reduction: `"mean"`, or `"none"` for each query.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; log(number) for equal prototypes of equal density.

    Raises:
        ValueError: for wrong ranks or an unknown reduction.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import proto_nce
        >>> loss = proto_nce(np.eye(2), np.ones((4, 2)), np.full(4, 0.2), np.array([0, 3]))
        >>> print(f"{float(loss):.4f}, log 4 is {np.log(4):.4f}")
        1.3863, log 4 is 1.3863
    """
    q, prototypes, densities = to_float32(q), to_float32(prototypes), to_float32(densities)
    check_rank("q", q, ("batch", "dim"))
    check_rank("prototypes", prototypes, ("number", "dim"))
    check_reduction(reduction)
    targets = ops.cast(targets, "int32")
    logits = ops.matmul(l2_normalize(q), ops.transpose(prototypes)) / densities
    if mask is not None:
        logits = ops.where(mask, logits, -1e30)
    log_p = ops.log_softmax(logits, axis=1)
    known = ops.cast(targets >= 0, "float32")
    own = ops.take_along_axis(log_p, ops.maximum(targets, 0)[:, None], axis=1)[:, 0]
    # The prototype of an unknown query may be masked, and 0 times a masked value is not 0.
    each = ops.where(known > 0, -own, 0.0)
    return each if reduction == "none" else ops.sum(each) / ops.maximum(ops.sum(known), 1.0)
