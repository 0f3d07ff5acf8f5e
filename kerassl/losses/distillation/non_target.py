"""Softmax over the classes other than the labeled one."""

from keras import KerasTensor, ops


def target_mask(labels: KerasTensor, num_classes: int) -> KerasTensor:
    """Boolean `(batch, num_classes)`, true at the label; all false if it is negative."""
    return ops.equal(ops.cast(labels, "int32")[:, None], ops.arange(num_classes, dtype="int32"))


def non_target_log_softmax(logits: KerasTensor, is_target: KerasTensor) -> KerasTensor:
    """Log-softmax over the classes other than the target, which gets 0.

    It equals `log(p_i / (1 - p_target))`, which loses precision when the target is nearly certain.
    """
    log_p = ops.log_softmax(ops.where(is_target, -1e30, logits), axis=-1)
    return ops.where(is_target, 0.0, log_p)
