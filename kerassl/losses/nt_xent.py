"""The normalised temperature-scaled cross entropy of SimCLR."""

from keras import KerasTensor, ops

from kerassl.losses._common import check_positive, check_reduction, embeddings, l2_normalize, reduce


def nt_xent(
    z1: KerasTensor, z2: KerasTensor, temperature: float | KerasTensor = 0.1, reduction: str = "mean"
) -> KerasTensor:
    """NT-Xent: each of the 2N views finds its partner among the 2N - 1 others by softmax of cosines.

    With normalised rows `z_1..z_2N` and `p(i)` the other view of the image of row `i`,
    `l_i = -<z_i, z_p(i)> / temperature + log sum_{k != i} exp(<z_i, z_k> / temperature)`.
    Symmetric in the views; nothing is detached. The mean is the paper's, over the 2N samples; the official
    code adds the means of the two directions and so reports (and descends) twice this value.

    Paper: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations,
    arXiv 2002.05709, equation 1. Official code: google-research/simclr, tf2/objective.py.

    Args:
        z1: `(batch, dim)` un-normalised embeddings of the first views.
        z2: `(batch, dim)` embeddings of the second views; row i is the same image as row i of `z1`.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean of the two directions of each image.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`. A batch of one has no negatives: its loss is 0.

    Raises:
        ValueError: for shapes that differ or are not rank 2, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import nt_xent
        >>> z = np.eye(4)
        >>> print(f"{float(nt_xent(z, z, temperature=0.5)):.4f}")
        0.5944
    """
    z1, z2 = embeddings("z1", z1, "z2", z2)
    check_positive("temperature", temperature)
    check_reduction(reduction)
    scale = ops.rsqrt(ops.cast(temperature, "float32"))
    z1, z2 = l2_normalize(z1) * scale, l2_normalize(z2) * scale
    # Three of the four blocks of the (2N, 2N) similarities: the fourth is the transpose of `cross`.
    cross = ops.matmul(z1, ops.transpose(z2))
    index = ops.arange(ops.shape(z1)[0])
    diagonal = index[:, None] == index[None, :]
    positive = ops.sum(ops.where(diagonal, cross, 0.0), axis=1)

    def log_sum_exp_of_others(z: KerasTensor, cross_axis: int):
        within = ops.where(diagonal, -3e38, ops.matmul(z, ops.transpose(z)))
        parts = [ops.logsumexp(cross, axis=cross_axis), ops.logsumexp(within, axis=1)]
        return ops.logsumexp(ops.stack(parts), axis=0)

    both = log_sum_exp_of_others(z1, 1) + log_sum_exp_of_others(z2, 0)
    return reduce(both / 2 - positive, reduction)
