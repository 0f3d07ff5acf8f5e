"""The loss of LOOK: the leave-one-out error of a weighted nearest-neighbor classifier."""

import numbers

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_reduction, reduce
from kerassl.losses.contrastive.info_nce import rows_as_wide_as
from kerassl.losses.contrastive.logsumexp import MASKED
from kerassl.losses.contrastive.sup_con import labeled_rows


def look(
    q: KerasTensor,
    labels: KerasTensor,
    queue: KerasTensor,
    queue_labels: KerasTensor,
    num_neighbors: int = 200,
    temperature: float | KerasTensor = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """LOOK: negative log-probability of a query's class in a weighted vote of its nearest neighbors.

    With cosines `s_ij` and `kNN(i)` the labeled rows of the queue of the `num_neighbors` largest, `l_i =
    -log(sum_{j in kNN(i), same class} exp(s_ij / temperature) / sum_{j in kNN(i)} exp(s_ij / temperature))`.
    The choice of neighbors is detached, and all ties count; nothing else is detached.

    From the paper's abstract: a supervised loss that is the leave-one-out error of a weighted kNN classifier,
    so that an image need only share its class with most of its neighbors, and a class may have several modes.
    The logarithm of the summed weights and the defaults are our choice: the paper's equation was not
    available, and no official code is known. Two more choices are ours: the nearest row of the query's class
    always counts as a neighbor, so that every query is attracted to its class; and a query whose class is not
    in the queue, or without a label (-1), adds 0.

    Paper: Feng et al., Rethinking Supervised Pre-training for Better Downstream Transferring, arXiv
    2110.06014.

    Args:
        q: `(n, dim)` un-normalized queries.
        labels: `(n,)` integers, the class of each query, -1 where unknown.
        queue: `(size, dim)` features that do not hold the queries themselves.
        queue_labels: `(size,)` integers, -1 for rows that are never neighbors.
        num_neighbors: number of rows that vote; from 1 to the size of the queue.
        temperature: positive number or scalar tensor.
        reduction: `"mean"` over all n queries, or `"none"`.

    Returns:
        A float32 scalar, or `(n,)` with `"none"`.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, fewer than one neighbor, a temperature
            <= 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import look
        >>> q, queue = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]] * 4)
        >>> print(f"{float(look(q, [0], queue, [0, 1, 1, 1], num_neighbors=4)):.4f}")
        1.3863
    """
    check_positive("temperature", temperature)
    check_reduction(reduction)
    check_num_neighbors(num_neighbors)
    q, labels = labeled_rows("q", q, "labels", labels, 1.0 / ops.cast(temperature, "float32"))
    queue = rows_as_wide_as(q, "queue", queue)
    queue, queue_labels = labeled_rows("queue", queue, "queue_labels", queue_labels, 1.0)
    labels, queue_labels = ops.cast(labels, "int32"), ops.cast(queue_labels, "int32")
    labeled = queue_labels >= 0
    same = ops.logical_and(labels[:, None] == queue_labels[None, :], labeled)
    similarities = ops.where(labeled, ops.matmul(q, ops.transpose(queue)), MASKED)
    fixed = ops.stop_gradient(similarities)
    furthest = ops.top_k(fixed, min(num_neighbors, queue.shape[0]))[0][:, -1:]
    nearest_of_class = ops.max(ops.where(same, fixed, MASKED), axis=1, keepdims=True)
    near = ops.logical_or(fixed >= furthest, ops.logical_and(same, fixed >= nearest_of_class))
    everyone = ops.logsumexp(ops.where(near, similarities, MASKED), axis=1)
    of_class = ops.logsumexp(ops.where(ops.logical_and(near, same), similarities, MASKED), axis=1)
    return reduce(ops.where(ops.any(same, axis=1), everyone - of_class, 0.0), reduction)


def check_num_neighbors(num_neighbors: int) -> None:
    """Raises a ValueError unless `num_neighbors` is a positive integer."""
    if not isinstance(num_neighbors, numbers.Integral) or num_neighbors < 1:
        raise ValueError(f"num_neighbors={num_neighbors} must be a positive integer, for instance 200.")
