"""ProtoPNet's costs of the distances between an image's patches and the prototypes of the classes."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, to_float32
from kerassl.losses.supervised.cross_entropy import labeled_mean

# Stands for the distance of prototypes outside the mask.
_FAR = 1e30


def cluster_cost(
    distances: KerasTensor,
    labels: KerasTensor,
    prototype_classes: KerasTensor,
    mask: KerasTensor | None = None,
    reduction: str = "mean",
) -> KerasTensor:
    """Clst: the mean over images of the distance to the nearest prototype of their own class.

    It is minimized. For similarities, pass their negatives: the result is then minus the mean largest
    similarity, the form of ST-ProtoPNet.

    Paper: Chen et al., This Looks Like That: Deep Learning for Interpretable Image Recognition, arXiv
    1806.10574, section 2.2. Official code: cfchen-duke/ProtoPNet, `train_and_test.py`, which finds the same
    minimum as a maximum of the largest distance minus the distance. Nothing is detached.

    Args:
        distances: `(batch, num_prototypes)` distances of each image's nearest patch to each prototype.
        labels: `(batch,)` integers; rows with a negative label are ignored, in the sum and in the
            mean.
        prototype_classes: `(num_prototypes,)` integers.
        mask: boolean `(num_prototypes,)`; where false, a prototype is left out. An image without prototypes
            of its class costs 0.
        reduction: `"mean"` over the labeled rows, or `"none"`.

    Returns:
        A float32 scalar, 0 if every image holds a prototype of its class; or `(batch,)` with `"none"`.

    Raises:
        ValueError: for wrong ranks, labels of another shape, an unknown reduction.

    Example:
        >>> from kerassl.losses import cluster_cost
        >>> round(float(cluster_cost([[1.0, 5.0, 0.0], [3.0, 2.0, 7.0]], [0, 1], [0, 0, 1])), 4)
        4.0
    """
    return _nearest(distances, labels, prototype_classes, mask, reduction, True)


def separation_cost(
    distances: KerasTensor,
    labels: KerasTensor,
    prototype_classes: KerasTensor,
    mask: KerasTensor | None = None,
    reduction: str = "mean",
) -> KerasTensor:
    """Minus Sep: the mean over images of the distance to the nearest prototype of any other class.

    It is positive and should be large: it enters the loss with a negative weight. Source: as `cluster_cost`.

    Args:
        distances: as in `cluster_cost`.
        labels: as in `cluster_cost`.
        prototype_classes: as in `cluster_cost`.
        mask: as in `cluster_cost`.
        reduction: as in `cluster_cost`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: as `cluster_cost`.

    Example:
        >>> from kerassl.losses import separation_cost
        >>> round(float(separation_cost([[1.0, 5.0, 0.0], [3.0, 2.0, 7.0]], [0, 1], [0, 0, 1])), 4)
        1.0
    """
    return _nearest(distances, labels, prototype_classes, mask, reduction, False)


def _nearest(
    distances: KerasTensor,
    labels: KerasTensor,
    prototype_classes: KerasTensor,
    mask: KerasTensor | None,
    reduction: str,
    of_own_class: bool,
):
    distances, labels = to_float32(distances), ops.cast(labels, "int32")
    check_rank("distances", distances, ("batch", "num_prototypes"))
    check_rank("labels", labels, ("batch",))
    check_same_shape("distances[:, 0]", distances[:, 0], "labels", labels)
    check_reduction(reduction)
    own = labels[:, None] == ops.cast(prototype_classes, "int32")
    asked = own if of_own_class else ops.logical_not(own)
    if mask is not None:
        asked = ops.logical_and(asked, ops.cast(mask, "bool"))
    nearest = ops.min(ops.where(asked, distances, _FAR), axis=1)
    each = ops.where(ops.logical_and(ops.any(asked, axis=1), labels >= 0), nearest, 0.0)
    return labeled_mean(each, labels) if reduction == "mean" else each
