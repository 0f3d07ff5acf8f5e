"""The negative cosine similarity of SimSiam."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_reduction, cosine, embeddings, reduce


def negative_cosine(p: KerasTensor, z: KerasTensor, reduction: str = "mean") -> KerasTensor:
    """`D(p, stopgrad(z)) = -<p / |p|, z / |z|>`: one direction of the SimSiam loss.

    The stop-gradient of the equation is inside: no gradient reaches `z`. The method averages the two
    directions, `(D(p1, z2) + D(p2, z1)) / 2`.

    Paper: Chen and He, Exploring Simple Siamese Representation Learning, arXiv 2011.10566,
    equations 1 to 3. Official code: facebookresearch/simsiam, main_simsiam.py.

    Args:
        p: `(batch, dim)` predictions, un-normalized.
        z: `(batch, dim)` projections of the other view, un-normalized; detached here.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar in [-1, 1], or `(batch,)` with `"none"`; 0 where a vector is zero.

    Raises:
        ValueError: for shapes that differ or are not rank 2, or an unknown reduction.

    Example:
        >>> from kerassl.losses import negative_cosine
        >>> round(float(negative_cosine([[3.0, 0.0]], [[2.0, 0.0]])), 4)
        -1.0
    """
    p, z = embeddings("p", p, "z", z)
    check_reduction(reduction)
    return reduce(-cosine(p, ops.stop_gradient(z)), reduction)
