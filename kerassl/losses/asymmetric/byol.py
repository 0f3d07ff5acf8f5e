"""The normalized regression loss of BYOL."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_reduction, cosine, embeddings, reduce


def byol(p: KerasTensor, z: KerasTensor, reduction: str = "mean") -> KerasTensor:
    """`|p / |p| - stopgrad(z) / |z||^2 = 2 - 2 cos(p, z)`: one direction of the BYOL loss.

    The target is detached inside: no gradient reaches `z`. The method sums the two directions, as the
    paper does (several ports halve the sum).

    Paper: Grill et al., Bootstrap your own latent, arXiv 2006.07733, equation 2. Official code:
    google-deepmind/deepmind-research, byol/byol_experiment.py.

    Args:
        p: `(batch, dim)` online predictions, un-normalized.
        z: `(batch, dim)` target projections of the other view, un-normalized; detached here.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar in [0, 4], or `(batch,)` with `"none"`: 0 if aligned, 2 if orthogonal or if a
        vector is zero, 4 if opposite.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or an unknown reduction.

    Example:
        >>> from kerassl.losses import byol
        >>> round(float(byol([[3.0, 0.0]], [[0.0, 2.0]])), 4)
        2.0
    """
    p, z = embeddings("p", p, "z", z)
    check_reduction(reduction)
    return reduce(2.0 - 2.0 * cosine(p, ops.stop_gradient(z)), reduction)
