"""PALM: maximum likelihood of embeddings under a mixture of prototypes per class, on the sphere."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_rank, check_reduction, l2_normalize, to_float32


def palm(
    z: KerasTensor,
    weights: KerasTensor,
    prototypes: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """L_MLE: `log sum_k exp(z . p_k / T) - sum_k a_k z . p_k / T`, over the prototypes of all classes.

    Paper: Lu et al., Learning with Mixture of Prototypes for Out-of-Distribution Detection, arXiv 2402.02653,
    section 3. Official code: jeff024/PALM, `util/loss_functions.py`, where prototypes and weights are also
    detached.

    Args:
        z: `(batch, dim)` embeddings, not normalized.
        weights: `(batch, num_prototypes)`, the weights of a row's own class sum to one, as from
            `mixture_weights`; detached here. Rows of zeros are ignored, in the sum and in the mean.
        prototypes: `(num_prototypes, dim)` unit vectors; detached here.
        temperature: positive number or scalar tensor.
        reduction: `"mean"` over the rows that count, or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`. With one prototype per class it is the cross entropy of
        the cosines.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import palm
        >>> loss = palm(np.eye(2), np.eye(2), np.ones((2, 2)) / np.sqrt(2))
        >>> print(f"{float(loss):.4f}, log 2 is {np.log(2):.4f}")
        0.6931, log 2 is 0.6931
    """
    z, weights = to_float32(z), ops.stop_gradient(to_float32(weights))
    prototypes = ops.stop_gradient(to_float32(prototypes))
    check_rank("z", z, ("batch", "dim"))
    check_rank("weights", weights, ("batch", "num_prototypes"))
    check_rank("prototypes", prototypes, ("num_prototypes", "dim"))
    expected = (z.shape[0], prototypes.shape[0])
    if None not in (*expected, weights.shape[0]) and tuple(weights.shape) != expected:
        raise ValueError(
            f"weights has shape {tuple(weights.shape)}, but {expected[0]} rows and {expected[1]} prototypes "
            f"were given; they must be equal to {expected}."
        )
    check_positive("temperature", temperature)
    check_reduction(reduction)
    logits = ops.matmul(l2_normalize(z), ops.transpose(prototypes)) / ops.cast(temperature, "float32")
    counted = ops.sum(weights, axis=1) > 0
    each = ops.logsumexp(logits, axis=1) - ops.sum(weights * logits, axis=1)
    each = ops.where(counted, each, 0.0)
    if reduction == "none":
        return each
    return ops.sum(each) / ops.maximum(ops.sum(ops.cast(counted, "float32")), 1.0)


def mixture_weights(assignments: KerasTensor, chosen: KerasTensor) -> KerasTensor:
    """The shares of the chosen prototypes in each row's assignment; a row without any stays zero.

    Args:
        assignments: `(batch, num_prototypes)` positive, as from `sinkhorn`.
        chosen: boolean of the same shape, as from `nearest_of_class`.

    Returns:
        Float32 `(batch, num_prototypes)`, detached.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import mixture_weights
        >>> np.array(mixture_weights([[0.5, 0.25, 0.5]], [[True, False, True]])).tolist()
        [[0.5, 0.0, 0.5]]
    """
    kept = ops.where(chosen, to_float32(assignments), 0.0)
    total = ops.sum(kept, axis=1, keepdims=True)
    return ops.stop_gradient(kept / ops.where(total > 0, total, 1.0))


def nearest_of_class(
    assignments: KerasTensor, labels: KerasTensor, prototype_classes: KerasTensor, count: int
) -> KerasTensor:
    """Mask `(batch, num_prototypes)` of the prototypes of its own class with a row's largest assignments.

    Args:
        assignments: `(batch, num_prototypes)`, positive.
        labels: `(batch,)` integers; a row of a negative label has none.
        prototype_classes: `(num_prototypes,)` integers.
        count: number of prototypes of each row; ties may add more.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import nearest_of_class
        >>> np.array(nearest_of_class([[0.1, 0.3, 0.4, 0.2]], [0], [0, 0, 1, 0], 2)).tolist()
        [[False, True, False, True]]
    """
    own = ops.cast(labels, "int32")[:, None] == ops.cast(prototype_classes, "int32")
    assignments = ops.where(own, to_float32(assignments), 0.0)
    largest, _ = ops.top_k(assignments, min(count, assignments.shape[1]))
    return ops.logical_and(own, assignments >= largest[:, -1:])


def moved_prototypes(
    prototypes: KerasTensor, z: KerasTensor, weights: KerasTensor, momentum: float | KerasTensor
) -> KerasTensor:
    """`unit(m p_k + (1 - m) sum_i w_ik z_i)`, w the weights as shares of each prototype: a moving average.

    The embeddings are not detached, as in the official code: gradients of the moved prototypes reach the
    encoder. A prototype without assigned rows is unchanged.

    Source: as `palm`.

    Args:
        prototypes: `(num_prototypes, dim)` unit vectors.
        z: `(batch, dim)` embeddings of the global batch, not normalized.
        weights: `(batch, num_prototypes)` of `mixture_weights`.
        momentum: m, in [0, 1].

    Returns:
        Float32 `(num_prototypes, dim)` unit vectors.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import moved_prototypes
        >>> print(np.array(moved_prototypes(np.eye(2), [[0.0, 5.0]], [[1.0, 0.0]], 0.5)).round(3))
        [[0.707 0.707]
         [0.    1.   ]]
    """
    weights = to_float32(weights)
    total = ops.sum(weights, axis=0, keepdims=True)
    shares = weights / ops.where(total > 0, total, 1.0)
    towards = ops.matmul(ops.transpose(shares), l2_normalize(to_float32(z)))
    momentum = ops.cast(momentum, "float32")
    return l2_normalize(momentum * to_float32(prototypes) + (1.0 - momentum) * towards)
