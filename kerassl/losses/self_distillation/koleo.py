"""The KoLeo regularizer: push each row away from its nearest neighbor in the batch."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, l2_normalize, reduce, to_float32
from kerassl.losses.contrastive.info_nce import rows_as_wide_as

# Added to the distances, as in the official code.
_EPSILON = 1e-8
# Squared distances of unit vectors below this are rounding errors of float32.
_SAME = 1e-14


def koleo(
    features: KerasTensor,
    reduction: str = "mean",
    candidates: KerasTensor | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """`-mean_i log(min_{j != i} ||z_i - z_j|| + 1e-8)` with normalized rows: spreads the batch on the sphere.

    The Kozachenko-Leonenko estimate of the differential entropy, negated. Gradients flow to a row and to its
    neighbor; the choice of the neighbor has no gradient. Equal rows have the largest value, 18.4, and no
    gradient, since there is no direction to separate them. The official code also adds 1e-8 to each
    coordinate of a difference, and so divides by almost zero; it searches the rows of one device, which
    `candidates` extends to all devices.

    Papers: Sablayrolles et al., Spreading Vectors for Similarity Search, arXiv 1806.03198, section 3.1; Oquab
    et al., DINOv2, arXiv 2304.07193, section 4. Official code: facebookresearch/dinov2,
    dinov2/loss/koleo_loss.py.

    Args:
        features: `(batch, dim)` un-normalized features of one view of each image.
        reduction: `"mean"` or `"none"`.
        candidates: `(all, dim)` features of the whole batch, of which `features` are rows; `None` where they
            are the whole batch. The mean over the parts of a batch is the loss of the batch.
        first_row: the row of the candidates that is row 0 of `features`: an integer or an int32 scalar.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; NaN features give NaN. A batch of one has no
        neighbors: its loss is 0.

    Raises:
        ValueError: for shapes that do not fit, or an unknown reduction.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import koleo
        >>> print(f"{float(koleo(np.eye(4))):.4f}, -log sqrt 2 is {-np.log(2) / 2:.4f}")
        -0.3466, -log sqrt 2 is -0.3466
    """
    features = to_float32(features)
    check_rank("features", features, ("batch", "dim"))
    check_reduction(reduction)
    z = l2_normalize(features)
    others = z if candidates is None else l2_normalize(rows_as_wide_as(z, "candidates", candidates))
    rows = ops.arange(ops.shape(z)[0], dtype="int32") + ops.cast(first_row, "int32")
    cosines = ops.stop_gradient(ops.matmul(z, ops.transpose(others)))
    places = ops.arange(ops.shape(others)[0], dtype="int32")
    cosines = ops.where(ops.equal(rows[:, None], places), -2.0, cosines)
    # Two maxima: on a CPU, XLA takes longer for an argmax.
    largest = ops.max(cosines, axis=1, keepdims=True)
    nearest = ops.max(ops.where(cosines >= largest, places, 0), axis=1)
    squared = ops.sum(ops.square(z - ops.take(others, nearest, axis=0)), axis=1)
    # Written so that NaN counts as distinct, and propagates.
    apart = ops.logical_not(squared <= _SAME)
    distance = ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)
    alone = ops.logical_and(ops.equal(nearest, rows), ops.logical_not(apart))
    return reduce(ops.where(alone, 0.0, -ops.log(distance + _EPSILON)), reduction)
