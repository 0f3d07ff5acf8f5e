"""The losses of AMCL: contrast in several heads, with a temperature for each pair."""

from keras import KerasTensor, ops

from kerassl.losses.common import (
    check_not_negative,
    check_rank,
    check_reduction,
    check_same_shape,
    cosine,
    l2_normalize,
    reduce,
    standardize,
    to_float32,
)
from kerassl.losses.contrastive.logsumexp import MASKED


def amcl(
    z1: KerasTensor,
    z2: KerasTensor,
    temperatures: KerasTensor,
    regularization: float = 0.1,
    reduction: str = "mean",
    candidates: tuple[KerasTensor, KerasTensor] | None = None,
    first_row: int | KerasTensor = 0,
) -> KerasTensor:
    """AMCL on SimCLR: in every head each of the 2N views finds its partner by softmax of log-likelihoods.

    In a head, rows of length one with cosine `s_ij` and temperature `t_ij` have the log-likelihood `l_ij =
    s_ij / t_ij - regularization * ((dim / 2) log t_ij + 1 / t_ij)`; with a regularization of 1 this is the
    log-likelihood of a Gaussian around row i with variance t_ij, up to a constant. The loss of row i and
    partner p is `log sum_{k != i} exp(l_ik) - l_ip`, summed over heads. Nothing is detached, not even the
    temperatures. If all temperatures are equal the penalty cancels, and the loss is `nt_xent`, summed over
    heads.

    This is our interpretation. Instead of the logarithm of the sum, equation 2.1 of the paper has the largest
    cosine of a negative, with its temperature and penalty. This loss sums over all candidates, including the
    partner, as in the NT-Xent that the paper starts from: it is at least 0, whereas the equation's loss is
    unbounded below as a temperature falls. The equation appears in table 2 of the official repository's
    readme, the penalty in its code, whose own loss, of one pair without negatives, does not fit either.

    Paper: Wang et al., Adaptive Multi-head Contrastive Learning, arXiv 2310.05615, equation 2.1. Official
    code: LeiWangR/cl, src/models.py, src/amcl_components.

    Args:
        z1: `(batch, heads, dim)` un-normalized embeddings of the first views.
        z2: `(batch, heads, dim)` embeddings of the second views; row i is the same image as row i of `z1`.
        temperatures: `(heads, 2 * batch, 2 * all)` positive, of the rows of `z1` and then of `z2` with the
            candidates of both; `all` is `batch` where there are none.
        regularization: weight of the penalty on temperatures, beta in the paper; >= 0.
        reduction: `"mean"`, or `"none"` for the mean of the two directions of each image.
        candidates: embeddings `(all, heads, dim)` of the first and the second views of the whole batch, of
            which `z1` and `z2` are rows, where each of several devices computes the loss of its own images;
            `None` where they are the whole batch.
        first_row: the row of the candidates that is row 0 of `z1`: an integer or an int32 scalar.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`. A batch of one has no negatives: its loss is 0.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a regularization below 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import amcl
        >>> z = np.eye(4)[:, None]
        >>> print(f"{float(amcl(z, z, temperatures=np.full((1, 8, 8), 0.5))):.4f}")
        0.5944
    """
    check_reduction(reduction)
    check_regularization(regularization)
    z1, z2 = _embeddings("z1", z1, "z2", z2)
    everyone = (z1, z2)
    if candidates is not None:
        everyone = _embeddings("candidates[0]", candidates[0], "candidates[1]", candidates[1])
    rows, everyone = ops.concatenate([z1, z2]), ops.concatenate(everyone)
    likelihoods = _log_likelihoods(
        "temperatures", temperatures, _cosines(rows, everyone), z1.shape[2], regularization
    )
    count = ops.shape(everyone)[0] // 2
    own = first_row + ops.arange(ops.shape(z1)[0], dtype="int32")
    own, partners = ops.concatenate([own, own + count]), ops.concatenate([own + count, own])
    columns = ops.arange(2 * count, dtype="int32")[None, :]
    others = ops.logsumexp(ops.where(own[:, None] == columns, MASKED, likelihoods), axis=2)
    positives = ops.sum(ops.where(partners[:, None] == columns, likelihoods, 0.0), axis=2)
    of_rows = ops.sum(others - positives, axis=0)
    return reduce(ops.mean(ops.reshape(of_rows, (2, -1)), axis=0), reduction)


def amcl_queue(
    q: KerasTensor,
    k: KerasTensor,
    queue: KerasTensor,
    positive_temperatures: KerasTensor,
    queue_temperatures: KerasTensor,
    regularization: float = 0.1,
    reduction: str = "mean",
) -> KerasTensor:
    """AMCL on MoCo: in every head a query finds its key among a queue by log-likelihoods.

    As `amcl`, with the query's key as the partner and the rows of the queue as the other candidates; one
    direction. With a single temperature this is `info_nce`, summed over heads. Nothing is detached: a method
    whose keys come from a teacher detaches them itself. Source and deviations: as `amcl`.

    Args:
        q: `(batch, heads, dim)` un-normalized queries.
        k: `(batch, heads, dim)` un-normalized keys; row i belongs to row i of `q`.
        queue: `(size, heads, dim)` negatives of all queries.
        positive_temperatures: `(heads, batch)` positive, of the queries with their keys.
        queue_temperatures: `(heads, batch, size)` positive, of the queries with the queue.
        regularization: as in `amcl`.
        reduction: `"mean"`, or `"none"`.

    Returns:
        A float32 scalar, or `(batch,)` with `"none"`.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction, a regularization below 0.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import amcl_queue
        >>> q, queue = np.array([[[1.0, 0.0]]]), np.array([[[0.0, 1.0]]] * 4)
        >>> print(f"{float(amcl_queue(q, q, queue, np.full((1, 1), 0.5), np.full((1, 1, 4), 0.5))):.4f}")
        0.4327
    """
    check_reduction(reduction)
    check_regularization(regularization)
    q, k = _embeddings("q", q, "k", k)
    queue = to_float32(queue)
    check_rank("queue", queue, ("size", "heads", "dim"))
    if tuple(queue.shape[1:]) != tuple(q.shape[1:]):
        raise ValueError(
            f"queue has shape {tuple(queue.shape)} but q has shape {tuple(q.shape)}; they must be equal in "
            "heads and dim."
        )
    dim = q.shape[2]
    own = ops.transpose(cosine(q, k))
    positives = _log_likelihoods("positive_temperatures", positive_temperatures, own, dim, regularization)
    negatives = _log_likelihoods(
        "queue_temperatures", queue_temperatures, _cosines(q, queue), dim, regularization
    )
    per_head = ops.softplus(ops.logsumexp(negatives, axis=2) - positives)
    return reduce(ops.sum(per_head, axis=0), reduction)


def amcl_barlow_twins(
    z1: KerasTensor,
    z2: KerasTensor,
    temperatures: KerasTensor,
    redundancy_weight: float | KerasTensor = 0.005,
    regularization: float = 0.1,
) -> KerasTensor:
    """AMCL on Barlow Twins: in every head each cross-correlation is pulled to its target, with a temperature.

    With the correlation matrix `C` of a head as in `barlow_twins`, the identity `I` and weights `w_lm` of 1
    on the diagonal and `redundancy_weight` off it, the loss is the sum over heads and entries of `w_lm ((C_lm
    - I_lm)^2 / t_lm + regularization * (log(t_lm) / 2 + 1 / t_lm))`. A free temperature settles at `2 (1 +
    (C_lm - I_lm)^2 / regularization)`: entries that stay far from their target count less. With temperatures
    of 1 it is `barlow_twins`, summed over heads, plus a constant. Symmetric in the views where the
    temperatures are; nothing is detached. For a loss over several devices, gather `z1` and `z2` first.

    This is our interpretation. Equation 2.3 of the paper divides the correlation of the diagonal by its
    temperature inside the square, so a temperature equal to the correlation makes the term zero for any
    views. It also subtracts the penalties of off-diagonal entries, so the loss is unbounded below as a
    temperature falls. In this loss both kinds of entries have the equation's off-diagonal form, with the
    penalty added: a penalty of one dimension, since an entry is a number, with the weight of its entry.

    Paper: Wang et al., Adaptive Multi-head Contrastive Learning, arXiv 2310.05615, equation 2.3 (table 2 in
    the official repository's readme). Official code: LeiWangR/cl, which does not include this form.

    Args:
        z1: `(batch, heads, dim)` embeddings of the first views, neither normalized nor standardized.
        z2: `(batch, heads, dim)` embeddings of the second views.
        temperatures: `(heads, dim, dim)` positive, of the first view's dimension l with the second's m.
        redundancy_weight: weight of the off-diagonal entries, lambda in the paper; >= 0.
        regularization: weight of the penalty on temperatures, beta in the paper; >= 0.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: for shapes that do not fit, or a negative weight or regularization.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import amcl_barlow_twins
        >>> z = np.ones((8, 2, 16))
        >>> round(float(amcl_barlow_twins(z, z, np.full((2, 16, 16), 2.0), regularization=0.0)), 4)
        16.0
    """
    check_regularization(regularization)
    check_not_negative("redundancy_weight", redundancy_weight)
    z1, z2 = _embeddings("z1", z1, "z2", z2)
    first, second = (standardize(z) for z in (z1, z2))
    batch = ops.cast(ops.shape(z1)[0], "float32")
    correlation = ops.matmul(ops.transpose(first, (1, 2, 0)), ops.transpose(second, (1, 0, 2))) / batch
    temperatures = _checked_temperatures("temperatures", temperatures, correlation)
    identity = ops.eye(z1.shape[2], dtype="float32")
    entries = ops.square(correlation - identity) / temperatures + regularization * _penalties(temperatures, 1)
    weight = ops.cast(redundancy_weight, "float32")
    return ops.sum((weight + (1.0 - weight) * identity) * entries)


def check_regularization(regularization: float) -> None:
    """Raises a ValueError unless `regularization` is a number that is not negative."""
    if not 0 <= regularization < float("inf"):
        raise ValueError(
            f"regularization={regularization} must be >= 0 and finite; the official value is 0.1."
        )


def _embeddings(name_a: str, a: KerasTensor, name_b: str, b: KerasTensor):
    """Two checked `(batch, heads, dim)` inputs in float32."""
    a, b = to_float32(a), to_float32(b)
    for name, x in ((name_a, a), (name_b, b)):
        check_rank(name, x, ("batch", "heads", "dim"))
    check_same_shape(name_a, a, name_b, b)
    return a, b


def _cosines(rows: KerasTensor, others: KerasTensor) -> KerasTensor:
    """`(heads, n, m)` of embeddings `(n, heads, dim)` and `(m, heads, dim)`."""
    rows, others = l2_normalize(rows), l2_normalize(others)
    return ops.matmul(ops.transpose(rows, (1, 0, 2)), ops.transpose(others, (1, 2, 0)))


def _log_likelihoods(
    name: str, temperatures: KerasTensor, cosines: KerasTensor, dim: int, regularization: float
) -> KerasTensor:
    """Log-likelihoods of pairs with these cosines, under checked temperatures of the same shape."""
    temperatures = _checked_temperatures(name, temperatures, cosines)
    return cosines / temperatures - regularization * _penalties(temperatures, dim)


def _checked_temperatures(name: str, temperatures: KerasTensor, pairs: KerasTensor) -> KerasTensor:
    """Temperatures in float32, with the shape of the pairs."""
    temperatures = to_float32(temperatures)
    shape, needed = tuple(temperatures.shape), tuple(pairs.shape)
    if len(shape) != len(needed) or any(
        None not in pair and pair[0] != pair[1] for pair in zip(shape, needed, strict=True)
    ):
        raise ValueError(f"{name} has shape {shape} but must be {needed}, one for each pair in each head.")
    return temperatures


def _penalties(temperatures: KerasTensor, dim: int) -> KerasTensor:
    """Penalty on temperatures for embeddings of this width, smallest at 2 / dim."""
    return (dim / 2) * ops.log(temperatures) + 1.0 / temperatures
