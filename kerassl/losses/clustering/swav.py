"""The swapped prediction of SwAV."""

from keras import KerasTensor

from kerassl.losses.redundancy.cross_view import cross_view_cross_entropy


def swav(
    scores: KerasTensor,
    assignments: KerasTensor,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """Mean over assigned views u and other views v of `H(q_u, softmax(scores_v / temperature))`.

    Paper: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, arXiv
    2006.09882, equations 1, 2 and 6. Official code: facebookresearch/swav, main_swav.py.

    Args:
        scores: `(num_views, batch, num_prototypes)` cosines of embeddings and prototypes, the assigned views
            first.
        assignments: `(num_assigned_views, batch, num_prototypes)` of `sinkhorn`, each row of which sums to
            one; detached here.
        temperature: positive number or scalar tensor.
        reduction: `"mean"`, or `"none"` for the mean over pairs of each image.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`; log(num_prototypes) for equal prototypes.

    Raises:
        ValueError: if there is no pair of different views, more assigned views than views, for shapes that
            disagree, an unknown reduction, a temperature <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import sinkhorn, swav
        >>> assignments = np.stack([sinkhorn(np.eye(3, 8)), sinkhorn(np.eye(3, 8))])
        >>> print(f"{float(swav(np.zeros((4, 3, 8)), assignments)):.4f}, log 8 is {np.log(8):.4f}")
        2.0794, log 8 is 2.0794
    """
    return cross_view_cross_entropy(
        "swav", "scores", scores, "assignments", assignments, "temperature", temperature, reduction
    )
