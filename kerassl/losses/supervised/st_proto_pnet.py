"""ST-ProtoPNet's terms on the prototypes themselves: within a class, and between classes."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, l2_normalize, to_float32


def prototype_orthogonality(prototypes: KerasTensor) -> KerasTensor:
    """`sum over classes of the sum of |P P^T - I|`, P the unit prototypes of a class: keeps them different.

    Paper: Wang et al., Learning Support and Trivial Prototypes for Interpretable Image Classification, arXiv
    2301.04011, section 3. Official code: cwangrun/ST-ProtoPNet, `full/train_and_test.py`. A sum over classes,
    not a mean, as in the official code. Nothing is detached.

    Args:
        prototypes: `(num_classes, prototypes_per_class, dim)` of any length.

    Returns:
        A float32 scalar; 0 where the prototypes of each class are orthogonal.

    Raises:
        ValueError: for a wrong rank.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import prototype_orthogonality
        >>> [float(prototype_orthogonality(p)) for p in (np.eye(3)[None], np.ones((2, 2, 1)))]
        [0.0, 4.0]
    """
    unit = _unit(prototypes)
    gram = ops.matmul(unit, ops.transpose(unit, (0, 2, 1)))
    return ops.sum(ops.abs(gram - ops.eye(unit.shape[1], dtype="float32")))


def prototype_discrimination(prototypes: KerasTensor) -> KerasTensor:
    """Mean over pairs of classes of the largest cosine between their prototypes: for trivial prototypes.

    Minimized, it drives the prototypes of different classes apart. Source: as `prototype_orthogonality`.

    Args:
        prototypes: `(num_classes, prototypes_per_class, dim)` of any length.

    Returns:
        A float32 scalar in [-1, 1]; 0 for one class, or where classes are orthogonal.

    Raises:
        ValueError: for a wrong rank.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import prototype_discrimination
        >>> float(prototype_discrimination(np.eye(4).reshape(2, 2, 4)))
        0.0
    """
    return _mean_over_pairs(ops.max(_cosines(prototypes), axis=(2, 3)))


def prototype_closeness(prototypes: KerasTensor) -> KerasTensor:
    """Minus the mean over pairs of classes of the smallest cosine between prototypes: for support prototypes.

    Minimized, it draws the prototypes of different classes to the boundary between them. Source: as
    `prototype_orthogonality`.

    Args:
        prototypes: `(num_classes, prototypes_per_class, dim)` of any length.

    Returns:
        A float32 scalar in [-1, 1]; -1 where all prototypes are the same.

    Raises:
        ValueError: for a wrong rank.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import prototype_closeness
        >>> round(float(prototype_closeness(np.ones((2, 3, 1)))), 4)
        -1.0
    """
    return -_mean_over_pairs(ops.min(_cosines(prototypes), axis=(2, 3)))


def _unit(prototypes: KerasTensor):
    prototypes = to_float32(prototypes)
    check_rank("prototypes", prototypes, ("num_classes", "prototypes_per_class", "dim"))
    return l2_normalize(prototypes)


def _cosines(prototypes: KerasTensor):
    """`(num_classes, num_classes, prototypes_per_class, prototypes_per_class)`."""
    unit = _unit(prototypes)
    return ops.einsum("apd,bqd->abpq", unit, unit)


def _mean_over_pairs(of_classes: KerasTensor):
    index = ops.arange(ops.shape(of_classes)[0], dtype="int32")
    others = ops.cast(index[:, None] != index[None, :], "float32")
    return ops.sum(of_classes * others) / ops.maximum(ops.sum(others), 1.0)
