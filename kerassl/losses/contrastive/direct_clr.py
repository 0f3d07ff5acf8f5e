"""The loss of DirectCLR: InfoNCE of the first coordinates of the representation."""

from keras import KerasTensor

from kerassl.losses.common import embeddings
from kerassl.losses.contrastive.info_nce import info_nce


def direct_clr(
    r1: KerasTensor,
    r2: KerasTensor,
    subvector_dim: int = 360,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
) -> KerasTensor:
    """InfoNCE of the first `subvector_dim` coordinates, both directions averaged.

    With `z = r[:, :d_0]`, `(info_nce(z1, z2) + info_nce(z2, z1)) / 2`: each view finds its partner among the
    other views of all images, N-way, without the images' own views as negatives. The other coordinates
    receive no gradient from the loss: those before the last block of a residual network reach them. Nothing
    is detached.

    Paper: Jing et al., Understanding Dimensional Collapse in Contrastive Self-supervised Learning, arXiv
    2110.09348, section 6. Official code: facebookresearch/directclr, directclr/main.py. lightly's loss of
    this name is NT-Xent, which has 2N - 2 negatives.

    Args:
        r1: `(batch, dim)` un-normalized representations of the first views.
        r2: `(batch, dim)` representations of the second views; row i is the same image as row i of `r1`.
        subvector_dim: d_0, how many coordinates the loss sees.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean of the two directions of each image.
        candidates: `(all, dim)` representations of the first and the second views of the whole batch, of
            which `r1` and `r2` are rows, where each of several devices computes the loss of its own images;
            `None` where they are the whole batch.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; log(batch) for collapsed representations.

    Raises:
        ValueError: for shapes that differ or are not rank 2, fewer coordinates than `subvector_dim`, an
            unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import direct_clr
        >>> print(f"{float(direct_clr(np.ones((4, 8)), np.ones((4, 8)), subvector_dim=2)):.4f}")
        1.3863
    """
    r1, r2 = embeddings("r1", r1, "r2", r2)
    if not 1 <= subvector_dim <= r1.shape[1]:
        raise ValueError(
            f"subvector_dim={subvector_dim} of {r1.shape[1]} coordinates cannot be; the paper: 360 of 2048."
        )
    z1, z2 = r1[:, :subvector_dim], r2[:, :subvector_dim]
    all1, all2 = (None, None) if candidates is None else (r[:, :subvector_dim] for r in candidates)
    forward = info_nce(z1, z2, None, temperature, reduction, candidates=all2)
    return (forward + info_nce(z2, z1, None, temperature, reduction, candidates=all1)) / 2
