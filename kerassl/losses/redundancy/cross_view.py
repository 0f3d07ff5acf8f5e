"""The cross entropy of one view's prediction with another view's assignment, over all pairs of views."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_reduction,
    check_same_shape,
    reduce,
    to_float32,
)


def cross_view_cross_entropy(
    loss_name: str,
    logits_name: str,
    logits: KerasTensor,
    targets_name: str,
    targets: KerasTensor,
    temperature_name: str,
    temperature: float | KerasTensor,
    reduction: str,
) -> KerasTensor:
    """Mean over target views u and other views v of `H(targets_u, softmax(logits_v / temperature))`.

    `(num_views, batch, num_prototypes)` each, the target views first among the logits; the names appear in
    errors.
    """
    logits, targets = to_float32(logits), ops.stop_gradient(to_float32(targets))
    for name, x in ((logits_name, logits), (targets_name, targets)):
        check_rank(name, x, ("views", "batch", "num_prototypes"))
    views, target_views = logits.shape[0], targets.shape[0]
    if views < 2 or not 1 <= target_views <= views:
        raise ValueError(
            f"{loss_name} got {logits_name} of {views} and {targets_name} of {target_views} views; it needs "
            "at least two views, the target views first, to pair different views."
        )
    check_same_shape(f"one view of {logits_name}", logits[0], f"one view of {targets_name}", targets[0])
    check_positive(temperature_name, temperature)
    check_reduction(reduction)
    logits = logits / ops.cast(temperature, "float32")
    logits = logits - ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    # H(t, s) = log_sum_exp(s) sum(t) - <t, s>: no log-probability is written out.
    log_sum_exp = ops.log(ops.sum(ops.exp(logits), axis=-1))
    mass = ops.sum(targets, axis=-1)
    # All pairs at once by linearity, then without the pairs of a view with itself.
    products = ops.sum(logits * ops.sum(targets, axis=0), axis=(0, 2))
    every = ops.sum(log_sum_exp, axis=0) * ops.sum(mass, axis=0) - products
    same_products = ops.sum(targets * logits[:target_views], axis=-1)
    same = ops.sum(log_sum_exp[:target_views] * mass - same_products, axis=0)
    return reduce((every - same) / (target_views * (views - 1)), reduction)
