"""The cross entropy of DeepCluster v2: each head's clusters are classes."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_rank, check_reduction, to_float32


def deepcluster_v2(
    scores: KerasTensor,
    clusters: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """Mean over heads and views of `-log softmax(scores / temperature)[cluster]`.

    A negative cluster means unknown: the image's loss is 0 and it does not count in the mean.

    Paper: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, arXiv
    2006.09882, section 4 and appendix D. Official code: facebookresearch/swav, main_deepclusterv2.py.

    Args:
        scores: `(num_heads, num_views, batch, num_clusters)` cosines of embeddings and centers.
        clusters: `(num_heads, batch)` integers, the same for all views of an image.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for each image's mean over heads and views.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; log(num_clusters) for equal scores.

    Raises:
        ValueError: for shapes that disagree, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import deepcluster_v2
        >>> loss = deepcluster_v2(np.zeros((1, 2, 3, 8)), np.array([[5, 0, -1]]))
        >>> print(f"{float(loss):.4f}, log 8 is {np.log(8):.4f}")
        2.0794, log 8 is 2.0794
    """
    scores, clusters = to_float32(scores), ops.cast(clusters, "int32")
    check_rank("scores", scores, ("num_heads", "num_views", "batch", "num_clusters"))
    check_positive("temperature", temperature)
    check_reduction(reduction)
    expected = (scores.shape[0], scores.shape[2])
    if len(clusters.shape) != 2 or any(
        None not in pair and pair[0] != pair[1] for pair in zip(clusters.shape, expected, strict=True)
    ):
        raise ValueError(
            f"clusters has shape {tuple(clusters.shape)} but scores has shape {tuple(scores.shape)}; "
            "clusters must be (num_heads, batch)."
        )
    log_p = ops.log_softmax(scores / ops.cast(temperature, "float32"), axis=-1)
    known = ops.cast(clusters >= 0, "float32")
    own = ops.take_along_axis(log_p, ops.maximum(clusters, 0)[:, None, :, None], axis=-1)[..., 0]
    each = -ops.mean(ops.mean(own, axis=1) * known, axis=0)
    if reduction == "none":
        return each
    return ops.sum(each) / ops.maximum(ops.sum(ops.mean(known, axis=0)), 1.0)
