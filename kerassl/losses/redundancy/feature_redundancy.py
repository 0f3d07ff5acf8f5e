"""The feature objective of All4One: equal dimensions of two networks agree, different ones decorrelate."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_same_shape, embeddings, l2_normalize


def feature_redundancy(
    z1: KerasTensor, z2: KerasTensor, targets1: KerasTensor, targets2: KerasTensor
) -> KerasTensor:
    """Pulls the cross-correlations of a student's and a teacher's dimensions toward the identity.

    With `C_1 = col(row(t1))^T col(z2)`, `C_2 = col(row(t2))^T col(z1)`, where `row` and `col` divide rows and
    columns by their length, without centering,
    `L = sqrt(mean over both of mean_d (C_dd - 1)^2) / 2 + sqrt(mean over both of mean_{d != e} C_de^2) / 2`.
    Symmetric in the views; the targets are detached inside. At 0 the roots have the gradient 0. There is
    no per-sample value, hence no `reduction`: C is a statistic of the batch. For a loss over several devices
    gather all four first.

    Paper: Estepa et al., All4One: Symbiotic Neighbour Contrastive Learning via Self-Attention and Redundancy
    Reduction, arXiv 2303.09417, section 3. Official code: ImaGonEs/all4one, solo/methods/all4one.py, which
    has ten times this value.

    Args:
        z1: `(batch, dim)` un-normalized student embeddings of the first views.
        z2: the same for the second views.
        targets1: `(batch, dim)` un-normalized teacher embeddings of the first views; detached here.
        targets2: the same for the second views.

    Returns:
        A float32 scalar; 0.5 if all images have the same embedding.

    Raises:
        ValueError: for shapes that differ or are not rank 2.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import feature_redundancy
        >>> float(feature_redundancy(*[np.eye(4)] * 4))
        0.0
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    targets1, targets2 = embeddings("targets1", targets1, "targets2", targets2)
    check_same_shape("z1", z1, "targets1", targets1)
    on_diagonal = off_diagonal = 0.0
    for targets, z in ((targets1, z2), (targets2, z1)):
        columns = l2_normalize(l2_normalize(ops.stop_gradient(targets)), axis=0)
        correlation = ops.matmul(ops.transpose(columns), l2_normalize(z, axis=0))
        diagonal = ops.diagonal(correlation)
        dim = z.shape[1]
        on_diagonal += ops.mean(ops.square(diagonal - 1.0)) / 2
        others = ops.sum(ops.square(correlation * (1.0 - ops.eye(dim))))
        off_diagonal += others / max(dim * (dim - 1), 1) / 2
    return (_root(on_diagonal) + _root(off_diagonal)) / 2


def _root(x: KerasTensor) -> KerasTensor:
    positive = x > 1e-24
    return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), 0.0)
