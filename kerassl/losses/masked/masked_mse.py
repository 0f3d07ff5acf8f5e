"""The masked reconstruction loss of MAE."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, to_float32


def masked_mse(
    prediction: KerasTensor,
    target: KerasTensor,
    mask: KerasTensor,
    normalize_target: bool = False,
    reduction: str = "mean",
) -> KerasTensor:
    """Mean squared error of the patches that were masked.

    `l_i = mean_d (prediction_id - target_id)^2`, `L = sum_i m_i l_i / sum_i m_i` over the whole batch.
    Visible patches (mask 0) enter neither the value nor the gradient. Nothing is detached: the target is
    data.

    Paper: He et al., Masked Autoencoders Are Scalable Vision Learners, arXiv 2111.06377, section 3.
    Official code: facebookresearch/mae, models_mae.py.

    Args:
        prediction: `(batch, num_patches, dim)`.
        target: `(batch, num_patches, dim)`, for instance the pixels of each patch.
        mask: `(batch, num_patches)`, 1 or True for a patch that was masked and is predicted, 0 otherwise.
        normalize_target: standardize each target patch by its own mean and unbiased variance
            (divided by `dim - 1`), epsilon 1e-6: the norm-pix option of the paper.
        reduction: `"mean"`, or `"none"` for the mean over the masked patches of each image.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; 0 where nothing is masked.

    Raises:
        ValueError: for shapes that disagree, an unknown reduction, or `normalize_target` with `dim` 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import masked_mse
        >>> prediction, target = np.zeros((1, 2, 4)), np.stack([[np.full(4, 2.0), np.full(4, 9.0)]])
        >>> round(float(masked_mse(prediction, target, mask=[[1, 0]])), 4)
        4.0
    """
    prediction, target, mask = to_float32(prediction), to_float32(target), to_float32(mask)
    check_rank("prediction", prediction, ("batch", "num_patches", "dim"))
    check_same_shape("prediction", prediction, "target", target)
    check_rank("mask", mask, ("batch", "num_patches"))
    check_same_shape("one feature of prediction", prediction[..., 0], "mask", mask)
    check_reduction(reduction)
    if normalize_target:
        target = _standardize_patches(target)
    per_patch = ops.mean(ops.square(prediction - target), axis=-1) * mask
    axis = None if reduction == "mean" else 1
    count = ops.sum(mask, axis=axis)
    return ops.sum(per_patch, axis=axis) / ops.where(count > 0, count, 1.0)


def _standardize_patches(target: KerasTensor):
    dim = target.shape[-1]
    if dim < 2:
        raise ValueError(f"normalize_target needs patches of two values or more; target has dim={dim}.")
    centered = target - ops.mean(target, axis=-1, keepdims=True)
    variance = ops.sum(ops.square(centered), axis=-1, keepdims=True) / (dim - 1)
    return centered * ops.rsqrt(variance + 1e-6)
