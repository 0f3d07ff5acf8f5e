"""The regularizer of Mixed Barlow Twins: embeddings of mixed images are mixtures of embeddings."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_same_shape, embeddings, standardize, to_float32


def mixing_regularizer(
    z1: KerasTensor,
    z2: KerasTensor,
    z_mixed: KerasTensor,
    mixing: float | KerasTensor,
    permutation: KerasTensor,
) -> KerasTensor:
    """Distance of the mixed images' cross-correlations from their values under linear mixing.

    With columns standardized as in `barlow_twins`, `C_a = z_mixed^T z_a / N` for both views a, and its target
    `G_a = mixing * z1^T z_a / N + (1 - mixing) * z2[permutation]^T z_a / N`, the sum over a of all
    `(C_a - G_a)^2`. The targets are not detached. There is no per-sample value, hence no `reduction`: `C` is
    a statistic of the batch. For a loss over several devices, gather all three embeddings first.

    Paper: Bandara et al., Guarding Barlow Twins Against Overfitting with Mixed Samples, arXiv 2312.02151.
    Official code: wgcban/mix-bt, main.py, which divides rows by their length before and columns by the
    unbiased deviation without epsilon; main_imagenet.py halves the sum and takes z2^T z2 for z1^T z2 in the
    second target.

    Args:
        z1: `(batch, dim)` embeddings of the first views, not standardized.
        z2: `(batch, dim)` embeddings of the second views.
        z_mixed: `(batch, dim)` embeddings of `kerassl.views.mix_views(view1, view2, mixing, permutation)`.
        mixing: share of the first views in the mixed images, in [0, 1].
        permutation: `(batch,)` integers: the index of the second view that each first view was mixed with.

    Returns:
        A float32 scalar >= 0; 0 if `z_mixed` has the target correlations.

    Raises:
        ValueError: for shapes that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import mixing_regularizer
        >>> z1, z2 = np.random.default_rng(0).normal(size=(2, 8, 3))
        >>> float(mixing_regularizer(z1, z2, z1, mixing=1.0, permutation=np.arange(8)))
        0.0
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    z_mixed = to_float32(z_mixed)
    check_same_shape("z1", z1, "z_mixed", z_mixed)
    permutation = ops.cast(permutation, "int32")
    check_rank("permutation", permutation, ("batch",))
    z1, z2, z_mixed = standardize(z1), standardize(z2), standardize(z_mixed)
    mixing = ops.cast(mixing, "float32")
    # C_a - G_a is linear in the residual of the mixed images: one product per view instead of three, and no
    # difference of sums.
    lacking = z_mixed - mixing * z1 - (1.0 - mixing) * ops.take(z2, permutation, axis=0)
    rows = ops.transpose(lacking) / ops.cast(ops.shape(z1)[0], "float32")
    return sum(ops.sum(ops.square(ops.matmul(rows, z))) for z in (z1, z2))
