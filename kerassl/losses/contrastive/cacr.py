"""The losses of CACR: contrastive attraction and contrastive repulsion."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, squared_distances, unit_views
from kerassl.losses.contrastive.logsumexp import MASKED


def cacr(
    views: KerasTensor,
    attraction_weight: float = 1.0,
    repulsion_weight: float = 1.0,
    positive_temperature: float = 1.0,
    negative_temperature: float = 0.9,
) -> KerasTensor:
    """CACR: `attraction_weight * contrastive_attraction + repulsion_weight * contrastive_repulsion`.

    Paper: Zheng et al., Contrastive Attraction and Contrastive Repulsion for Representation Learning, arXiv
    2105.03746, section 3. Official code: JegZheng/CACR-CL.

    Args:
        views: `(num_views, batch, dim)` un-normalized embeddings, at least two views of each image.
        attraction_weight: positive number, alpha in the official code.
        repulsion_weight: positive number, beta in the official code.
        positive_temperature: as in `contrastive_attraction`.
        negative_temperature: as in `contrastive_repulsion`.

    Returns:
        A float32 scalar; 0 if all embeddings are equal.

    Raises:
        ValueError: for a wrong rank, a single view, or a number <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import cacr
        >>> round(float(cacr(np.stack([np.eye(4)] * 2))), 4)
        -2.0
    """
    check_positive("attraction_weight", attraction_weight)
    check_positive("repulsion_weight", repulsion_weight)
    attraction = contrastive_attraction(views, positive_temperature)
    return attraction_weight * attraction + repulsion_weight * contrastive_repulsion(
        views, negative_temperature
    )


def contrastive_attraction(views: KerasTensor, positive_temperature: float = 1.0) -> KerasTensor:
    """Mean squared distance of a view from the image's other views, with larger weights for farther views.

    With unit rows, `d_v = |z_x - z_v|^2` and `w = softmax_{v != x}(positive_temperature * d)`, the mean over
    views x and images of `sum_v w_v d_v`. Gradients also flow through the weights. Source: as `cacr`.

    Args:
        views: `(num_views, batch, dim)` un-normalized embeddings.
        positive_temperature: positive number; multiplies the distances.

    Returns:
        A float32 scalar in [0, 4].

    Raises:
        ValueError: for a wrong rank, a single view, or a temperature <= 0.

    Example:
        >>> from kerassl.losses import contrastive_attraction
        >>> round(float(contrastive_attraction([[[1.0, 0.0]], [[0.0, 2.0]]])), 4)
        2.0
    """
    check_positive("positive_temperature", positive_temperature)
    views = ops.transpose(unit_views("views", views, at_least=2), (1, 0, 2))
    distances = squared_distances(views, views)
    itself = ops.cast(ops.eye(views.shape[1]), "bool")
    weights = ops.softmax(ops.where(itself, MASKED, positive_temperature * distances), axis=-1)
    return ops.mean(ops.sum(weights * ops.where(itself, 0.0, distances), axis=-1))


def contrastive_repulsion(
    views: KerasTensor,
    negative_temperature: float = 0.9,
    candidates: KerasTensor | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """Negated mean squared distance of a view from other images, with larger weights for nearer images.

    With unit rows, `d_ij = |z_x,i - z_y,j|^2` and `w_i = softmax_{j != i}(-negative_temperature * d_i)`, the
    mean over pairs of views x < y and images i of `-sum_j w_ij d_ij`. Gradients also flow through the
    weights. Source: as `cacr`.

    Args:
        views: `(num_views, batch, dim)` un-normalized embeddings.
        negative_temperature: positive number; multiplies the distances.
        candidates: `(num_views, all, dim)` views of the whole batch, of which `views` are rows, where each of
            several devices computes the loss of its own images; `None` where they are the whole batch.
        first_row: the row of the candidates that is row 0 of the views: an integer or an int32 scalar.

    Returns:
        A float32 scalar in [-4, 0]; 0 for a batch of one.

    Raises:
        ValueError: for a wrong rank, a single view, or a temperature <= 0.

    Example:
        >>> from kerassl.losses import contrastive_repulsion
        >>> round(float(contrastive_repulsion([[[1.0, 0.0], [-1.0, 0.0]]] * 2)), 4)
        -4.0
    """
    check_positive("negative_temperature", negative_temperature)
    views = unit_views("views", views, at_least=2)
    everyone = views if candidates is None else unit_views("candidates", candidates, at_least=2)
    own = first_row + ops.arange(ops.shape(views)[1], dtype="int32")
    itself = own[:, None] == ops.arange(ops.shape(everyone)[1], dtype="int32")[None, :]
    of_pairs = []
    for x in range(views.shape[0]):
        for y in range(x + 1, views.shape[0]):
            distances = squared_distances(views[x], everyone[y])
            weights = ops.softmax(ops.where(itself, MASKED, -negative_temperature * distances), axis=-1)
            of_pairs.append(ops.mean(ops.sum(weights * ops.where(itself, 0.0, distances), axis=-1)))
    return -sum(of_pairs) / len(of_pairs)
