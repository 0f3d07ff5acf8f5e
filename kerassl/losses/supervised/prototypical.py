"""The loss of Prototypical Networks, and the class means that are its prototypes."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_same_shape, to_float32
from kerassl.losses.supervised.cross_entropy import cross_entropy


def prototypical(
    z: KerasTensor,
    labels: KerasTensor,
    prototypes: KerasTensor,
    mask: KerasTensor | None = None,
    reduction: str = "mean",
) -> KerasTensor:
    """`-log softmax_k(-||z - c_k||^2)` at each query's class.

    Paper: Snell et al., Prototypical Networks for Few-shot Learning, arXiv 1703.05175, equation 2. Official
    code: jakesnell/prototypical-networks, `protonets/models/few_shot.py`. Nothing is detached, as in the
    official code.

    Args:
        z: `(batch, dim)` embeddings of the queries, not normalized.
        labels: `(batch,)` integers; rows with a negative label, or of a class without a prototype, are
            ignored, in the sum and in the mean.
        prototypes: `(num_classes, dim)`, for example the `class_means` of the support set.
        mask: boolean `(num_classes,)`; where false, a class has no prototype. By default all classes have
            one.
        reduction: `"mean"` over the rows that count, or `"none"`.

    Returns:
        A float32 scalar, 0 where no row counts; or `(batch,)` with `"none"`.

    Raises:
        ValueError: for wrong ranks, labels of another shape, an unknown reduction.

    Example:
        >>> from kerassl.losses import prototypical
        >>> loss = prototypical([[0.0, 7.0], [1.0, 0.0]], [0, 1], [[1.0, 0.0], [-1.0, 0.0]])
        >>> print(f"{float(loss):.4f}, half of log 2 + log(1 + exp(4))")
        2.3556, half of log 2 + log(1 + exp(4))
    """
    z, labels = to_float32(z), ops.cast(labels, "int32")
    check_rank("z", z, ("batch", "dim"))
    check_rank("labels", labels, ("batch",))
    check_same_shape("z[:, 0]", z[:, 0], "labels", labels)
    logits = prototype_logits(z, prototypes, mask)
    if mask is not None:
        has_one = ops.take(ops.cast(mask, "int32"), ops.maximum(labels, 0)) > 0
        labels = ops.where(has_one, labels, -1)
    return cross_entropy(logits, labels, reduction=reduction)


def prototype_logits(z: KerasTensor, prototypes: KerasTensor, mask: KerasTensor | None = None) -> KerasTensor:
    """Minus the squared distances to prototypes, up to a constant of each row.

    The prototypes' mean is subtracted before the products, so that no digits are lost far from the origin.

    Args:
        z: `(batch, dim)`.
        prototypes: `(num_classes, dim)`.
        mask: boolean `(num_classes,)`; where false a logit is -1e30.

    Returns:
        Float32 `(batch, num_classes)`.
    """
    prototypes = to_float32(prototypes)
    check_rank("prototypes", prototypes, ("num_classes", "dim"))
    present = ops.ones_like(prototypes[:, 0]) if mask is None else ops.cast(mask, "float32")
    count = ops.maximum(ops.sum(present), 1.0)
    origin = ops.stop_gradient(ops.sum(prototypes * present[:, None], axis=0) / count)
    prototypes = prototypes - origin
    squares = ops.sum(ops.square(prototypes), axis=1)
    logits = 2.0 * ops.matmul(to_float32(z) - origin, ops.transpose(prototypes)) - squares
    return ops.where(present > 0, logits, -1e30)


def class_means(z: KerasTensor, labels: KerasTensor, num_classes: int) -> tuple[KerasTensor, KerasTensor]:
    """The mean embedding of each class: the prototypes of a support set.

    Paper: arXiv 1703.05175, equation 1.

    Args:
        z: `(batch, dim)`.
        labels: `(batch,)` integers below `num_classes`; rows with a negative label are left out.
        num_classes: number of classes.

    Returns:
        Float32 `(num_classes, dim)` means, zeros for a class without rows, and a boolean `(num_classes,)`
        mask of the classes with rows.

    Raises:
        ValueError: for wrong ranks.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import class_means
        >>> means, seen = class_means([[1.0], [3.0], [5.0]], [1, 1, -1], num_classes=2)
        >>> np.array(means).tolist(), np.array(seen).tolist()
        ([[0.0], [2.0]], [False, True])
    """
    z, labels = to_float32(z), ops.cast(labels, "int32")
    check_rank("z", z, ("batch", "dim"))
    check_rank("labels", labels, ("batch",))
    member = ops.cast(labels[:, None] == ops.arange(num_classes, dtype="int32"), "float32")
    count = ops.sum(member, axis=0)
    means = ops.matmul(ops.transpose(member), z) / ops.maximum(count, 1.0)[:, None]
    return means, count > 0
