"""InfoNCE of every crop's prediction with every teacher view's key, against one queue."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_positive,
    check_rank,
    check_same_shape,
    l2_normalize,
    to_float32,
)


def multi_crop_info_nce(
    predictions: KerasTensor,
    keys: KerasTensor,
    queue: KerasTensor,
    temperature: float | KerasTensor = 0.2,
) -> KerasTensor:
    """Entry (u, v) is the mean of `-log softmax` at the key of view u, for the prediction of crop v.

    The logits are `[p_v . k_u, p_v . d_1, ...] / temperature` with a queue d. A crop's negatives are the same
    for all keys and are compared once.

    Paper: Zhou et al., Mugs: A Multi-Granular Self-Supervised Learning Framework, arXiv 2203.14415,
    equation 2. Official code: sail-sg/mugs, src/loss.py (InfoNCELoss).

    Args:
        predictions: `(num_crops, batch, dim)` of any length.
        keys: `(num_teacher_views, batch, dim)` of any length, detached here.
        queue: `(size, dim)` of length one, detached here.
        temperature: positive number or scalar tensor.

    Returns:
        Float32 `(num_teacher_views, num_crops)`; the method decides which pairs count.

    Raises:
        ValueError: for shapes that disagree or a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import multi_crop_info_nce
        >>> pairs = multi_crop_info_nce(np.ones((3, 4, 2)), np.ones((2, 4, 2)), np.ones((7, 2)) / 2**0.5)
        >>> tuple(pairs.shape), print(f"{float(pairs[0, 1]):.4f}, log 8 is {np.log(8):.4f}")
        2.0794, log 8 is 2.0794
        ((2, 3), None)
    """
    predictions, keys, queue = to_float32(predictions), to_float32(keys), to_float32(queue)
    for name, x in (("predictions", predictions), ("keys", keys)):
        check_rank(name, x, ("views", "batch", "dim"))
    check_same_shape("one view of predictions", predictions[0], "one view of keys", keys[0])
    check_positive("temperature", temperature)
    temperature = ops.cast(temperature, "float32")
    predictions = l2_normalize(predictions)
    keys, queue = ops.stop_gradient(l2_normalize(keys)), ops.stop_gradient(queue)
    negatives = ops.matmul(predictions, ops.transpose(queue)) / temperature
    positives = ops.einsum("ubd,vbd->uvb", keys, predictions) / temperature
    everything = ops.logaddexp(positives, ops.logsumexp(negatives, axis=-1)[None])
    return ops.mean(everything - positives, axis=-1)
