"""The two terms that tie prototypes and images together in PrototypeDL."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, reduce, to_float32


def nearest_image(distances: KerasTensor) -> KerasTensor:
    """R1: the mean over prototypes of the distance to the nearest image of the batch.

    It makes each prototype look like some image. It depends on the whole batch: the mean over parts of a
    batch is larger.

    Paper: Li et al., Deep Learning for Case-Based Reasoning through Prototypes, arXiv 1710.04806, section
    3.2. Official code: OscarcarLi/PrototypeDL, `CAE_MNIST.py`. Nothing is detached.

    Args:
        distances: `(batch, num_prototypes)`, squared in the official code, between the latents of images and
            prototypes.

    Returns:
        A float32 scalar; 0 where every prototype is the latent of an image.

    Raises:
        ValueError: for distances that are not rank 2.

    Example:
        >>> from kerassl.losses import nearest_image
        >>> round(float(nearest_image([[1.0, 5.0], [3.0, 2.0]])), 4)
        1.5
    """
    distances = to_float32(distances)
    check_rank("distances", distances, ("batch", "num_prototypes"))
    return ops.mean(ops.min(distances, axis=0))


def nearest_prototype(distances: KerasTensor, reduction: str = "mean") -> KerasTensor:
    """R2: the mean over images of the distance to the nearest prototype.

    It makes each image look like some prototype. Source: as `nearest_image`.

    Args:
        distances: `(batch, num_prototypes)`, squared in the official code, between the latents of images and
            prototypes.
        reduction: `"mean"` or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; 0 where every latent is a prototype.

    Raises:
        ValueError: for distances that are not rank 2, or an unknown reduction.

    Example:
        >>> from kerassl.losses import nearest_prototype
        >>> round(float(nearest_prototype([[1.0, 5.0], [3.0, 2.0]])), 4)
        1.5
    """
    distances = to_float32(distances)
    check_rank("distances", distances, ("batch", "num_prototypes"))
    check_reduction(reduction)
    return reduce(ops.min(distances, axis=1), reduction)
