"""Sinkhorn-Knopp: balanced soft assignments of a batch to prototypes."""

from collections.abc import Callable

from keras import KerasTensor, ops

from kerassl.losses.common import check_positive, check_rank, to_float32

# Stands for minus infinity, whose differences are undefined.
_NEVER = -1e30


def sinkhorn(
    scores: KerasTensor,
    temperature: float | KerasTensor = 0.05,
    iterations: int = 3,
    *,
    prior: KerasTensor | None = None,
    mask: KerasTensor | None = None,
    gather: Callable[[KerasTensor], KerasTensor] | None = None,
) -> KerasTensor:
    """Assignments `Q = diag(u) exp(scores / temperature) diag(v)` by Sinkhorn-Knopp iterations.

    Each iteration first scales the columns, so that prototype k holds its share `prior[k]` of the batch, then
    the rows, so that each image's assignment sums to one. After a few iterations the rows are exact and
    the columns nearly so. No scores overflow: the first iteration is done with logarithms.

    Paper: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, arXiv
    2006.09882, section 3.1 and appendix A. Official code: facebookresearch/swav, main_swav.py.

    Args:
        scores: `(batch, num_prototypes)`, cosines of embeddings and prototypes; of a replica's share of the
            batch if `gather` is given. `(batch, num_heads, num_prototypes)` is assigned in each head
            separately.
        temperature: epsilon in the paper; a positive number or scalar tensor. 1 for scores that are
            log-probabilities, as in MSN.
        iterations: number of iterations, at least 1.
        prior: `(num_prototypes,)` positive shares that sum to one, for example `power_law_prior`; uniform by
            default.
        mask: boolean `(batch,)`; where false, a row is ignored and its assignment is zero.
        gather: function that concatenates the `(1, ..., num_prototypes)` tensors of all replicas, like
            `SSLModel.gather`; not needed if `scores` holds the whole batch.

    Returns:
        Float32, shaped as `scores`, detached.

    Raises:
        ValueError: for a wrong rank, a temperature <= 0, no iterations.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import sinkhorn
        >>> print(np.array(sinkhorn([[1.0, 0.0], [1.0, 0.5]], temperature=0.5, iterations=20)).round(3))
        [[0.622 0.378]
         [0.378 0.622]]
    """
    check_positive("temperature", temperature)
    if iterations < 1:
        raise ValueError(f"iterations={iterations} must be at least 1; the paper takes 3.")
    scores = to_float32(scores)
    if len(scores.shape) != 3:
        check_rank("scores", scores, ("batch", "num_prototypes"))
    gather = gather or (lambda totals: totals)
    logits = ops.stop_gradient(scores / ops.cast(temperature, "float32"))
    share = 1.0 if prior is None else to_float32(prior)
    rows = None
    if mask is not None:
        rows = ops.reshape(ops.cast(mask, "float32"), (-1,) + (1,) * (len(scores.shape) - 1))
        logits = ops.where(rows > 0, logits, _NEVER)
    log_totals = ops.logsumexp(gather(ops.logsumexp(logits, axis=0, keepdims=True)), axis=0, keepdims=True)
    assignments = ops.softmax(logits - log_totals + ops.log(share), axis=-1)
    # From here on no total can vanish: it holds an entry of at least 1 / (batch * num_prototypes).
    for _ in range(iterations - 1):
        counted = assignments if mask is None else assignments * rows
        totals = ops.sum(gather(ops.sum(counted, axis=0, keepdims=True)), axis=0, keepdims=True)
        assignments = assignments * (share / ops.where(totals > 0, totals, 1.0))
        assignments = assignments / ops.sum(assignments, axis=-1, keepdims=True)
    return ops.stop_gradient(assignments if mask is None else assignments * rows)


def power_law_prior(num_prototypes: int, exponent: float = 0.25) -> KerasTensor:
    """Shares `k ** -exponent / sum_j j ** -exponent` of prototypes 1 to K, for long-tailed data.

    Paper: Assran et al., The Hidden Uniform Cluster Prior in Self-Supervised Learning, arXiv 2210.07277,
    section 4.

    Args:
        num_prototypes: number of prototypes K.
        exponent: tau in the paper, at least 0; 0 gives uniform shares.

    Returns:
        Float32 `(num_prototypes,)` that sum to one, the largest first.

    Raises:
        ValueError: for fewer than one prototype or a negative exponent.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import power_law_prior
        >>> print(np.array(power_law_prior(2, exponent=1.0)).round(4))
        [0.6667 0.3333]
    """
    if num_prototypes < 1 or exponent < 0:
        raise ValueError(
            f"A prior needs prototypes and an exponent of at least 0; got {num_prototypes} and {exponent}."
        )
    shares = ops.power(ops.arange(1, num_prototypes + 1, dtype="float32"), -exponent)
    return shares / ops.sum(shares)
