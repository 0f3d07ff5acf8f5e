"""Cross entropy of logits and labels, some of which may be unknown."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, to_float32


def cross_entropy(
    logits: KerasTensor,
    labels: KerasTensor,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> KerasTensor:
    """`-sum_c target_c log softmax(logits)_c`, the target one-hot, or mixed with the uniform distribution.

    Args:
        logits: `(batch, num_classes)`.
        labels: `(batch,)` integers; rows with a negative label are ignored, in the sum and in the
            mean.
        label_smoothing: share of the uniform distribution in the target, in [0, 1).
        reduction: `"mean"` over the labeled rows, or `"none"`.

    Returns:
        A float32 scalar, 0 where no row is labeled; or `(batch,)` with `"none"`, 0 at unlabeled rows.

    Raises:
        ValueError: for logits that are not rank 2, labels of another shape, an unknown reduction, or a
            label smoothing outside [0, 1).

    Example:
        >>> from kerassl.losses import cross_entropy
        >>> round(float(cross_entropy([[0.0, 0.0], [9.0, 0.0]], [1, -1])), 4)
        0.6931
    """
    logits, labels = to_float32(logits), ops.cast(labels, "int32")
    check_rank("logits", logits, ("batch", "num_classes"))
    check_rank("labels", labels, ("batch",))
    check_same_shape("logits[:, 0]", logits[:, 0], "labels", labels)
    check_reduction(reduction)
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing={label_smoothing} must be in [0, 1); 0.1 is usual.")
    log_p = ops.log_softmax(logits, axis=-1)
    labeled = ops.cast(labels >= 0, "float32")
    own = ops.take_along_axis(log_p, ops.maximum(labels, 0)[:, None], axis=1)[:, 0]
    each = -labeled * ((1 - label_smoothing) * own + label_smoothing * ops.mean(log_p, axis=-1))
    return labeled_mean(each, labels) if reduction == "mean" else each


def labeled_mean(each: KerasTensor, labels: KerasTensor) -> KerasTensor:
    """The mean of `(batch,)` values over the rows whose label is not negative; 0 without any."""
    labeled = ops.cast(labels >= 0, "float32")
    return ops.sum(each * labeled) / ops.maximum(ops.sum(labeled), 1.0)
