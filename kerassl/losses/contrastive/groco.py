"""The loss of GroCo: negatives and positives of an anchor, sorted by similarity, stay in their groups."""

import numbers

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_reduction, embeddings, l2_normalize, reduce
from kerassl.losses.contrastive.differentiable_sort import differentiable_sort
from kerassl.losses.contrastive.logsumexp import MASKED

# The least likely a group may be: a gradual sort that is all but a sort would have the logarithm of 0.
SMALLEST = 1e-30


def groco(
    *views: KerasTensor,
    num_negatives: int = 10,
    steepness: float = 1.0,
    reduction: str = "mean",
    candidates: tuple[KerasTensor, ...] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """GroCo: in a gradual sort by similarity, the nearest negatives keep below all positives.

    Each view is an anchor in turn. Its cosines with the other views of its image, its positives, and its
    largest cosines with the same view of other images, its negatives, are listed, negatives first, each group
    ascending. `differentiable_sort` of the list gives the part `M_ij` of entry i that lands at place j, and
    `p_i` sums it over the places of i's own group. The loss is the mean of `-log p_i` over entries, views and
    images. An order that is already right has a positive loss, since exchanges are never complete.

    Gradients reach the anchor alone: the other side of each cosine is detached. A batch with fewer negatives
    than asked for counts the missing ones as opposite to the anchor, of cosine -1.

    The official code averages the binary cross entropies of "is a positive" and of "is a negative", which
    are the same number, since the two parts of an entry sum to 1.

    Paper: Shvetsova et al., Learning by Sorting: Self-supervised Learning with Group Ordering Constraints,
    arXiv 2301.02009. Official code: ninatu/learning_by_sorting, losses/groco.py.

    Args:
        *views: two or more `(batch, dim)` un-normalized embeddings; row i of all is the same image.
        num_negatives: of each anchor, those of largest cosine; positive.
        steepness: of the exchanges, positive; the larger, the nearer to a sort.
        reduction: `"mean"`, or `"none"` for the mean over the views of each image.
        candidates: embeddings `(all, dim)` of each view of the whole batch, of which the views are rows,
            where each of several devices computes the loss of its own images; `None` where they are the
            whole batch.
        first_row: the row of the candidates that is row 0 of the views: an integer or an int32 scalar.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for a single view, shapes that differ or are not rank 2, an unknown reduction, fewer than
            one negative, a steepness <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import groco
        >>> z = np.eye(2)
        >>> print(f"{float(groco(z, z, num_negatives=1)):.4f}")
        0.2877
    """
    if len(views) < 2:
        raise ValueError(f"groco orders views of one image, so it needs at least two; got {len(views)}.")
    if not isinstance(num_negatives, numbers.Integral) or num_negatives < 1:
        raise ValueError(f"num_negatives={num_negatives} must be a positive integer; the paper uses 10.")
    check_positive("steepness", steepness)
    check_reduction(reduction)
    units = _unit_views("views", views)
    others = units if candidates is None else _unit_views("candidates", candidates)
    fixed = [ops.stop_gradient(unit) for unit in units]
    own = first_row + ops.arange(ops.shape(units[0])[0], dtype="int32")
    columns = ops.arange(ops.shape(others[0])[0], dtype="int32")
    itself = own[:, None] == columns[None, :]
    missing = -ops.ones((ops.shape(units[0])[0], num_negatives))
    total = 0.0
    for v, anchor in enumerate(units):
        positives = [ops.sum(anchor * fixed[u], axis=1) for u in range(len(views)) if u != v]
        cosines = ops.matmul(anchor, ops.transpose(ops.stop_gradient(others[v])))
        cosines = ops.concatenate([ops.where(itself, MASKED, cosines), missing], axis=1)
        negatives = ops.flip(ops.top_k(cosines, num_negatives)[0], axis=1)
        ordered = ops.concatenate([negatives, ops.sort(ops.stack(positives, axis=1), axis=1)], axis=1)
        _, permutation = differentiable_sort(ordered, steepness)
        groups = (slice(None, num_negatives), slice(num_negatives, None))
        own_group = ops.concatenate([ops.sum(permutation[:, g, g], axis=2) for g in groups], axis=1)
        total = total - ops.mean(ops.log(ops.maximum(own_group, SMALLEST)), axis=1)
    return reduce(total / len(views), reduction)


def _unit_views(name: str, views: tuple[KerasTensor, ...]) -> list[KerasTensor]:
    """Checked views in float32, their rows of length one."""
    pairs = [embeddings(f"{name}[0]", views[0], f"{name}[{i}]", view) for i, view in enumerate(views)]
    return [l2_normalize(view) for _, view in pairs]
