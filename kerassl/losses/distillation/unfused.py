"""The loss of UNFUSED: pseudo-labels for an encoder and its branches, which follow its last layer."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_reduction, check_same_shape, cosine, to_float32
from kerassl.losses.supervised.cross_entropy import cross_entropy, labeled_mean


def unfused(
    logits: KerasTensor,
    branch_logits: tuple[KerasTensor, ...],
    labels: KerasTensor,
    branch_weight: float = 0.7,
    divergence_weight: float = 0.3,
    similarity_weight: float = 0.003,
    reduction: str = "mean",
) -> KerasTensor:
    """`CE(z) + sum_k [0.7 CE(z_k) + 0.3 KL(softmax(z) || softmax(z_k)) + 0.003 (2 - 2 cos(z_k, z))]`.

    CE is the cross entropy with the pseudo-labels, z the logits of the last layer, z_k those of branch k.
    Nothing is detached, as in the official code: the last layer also moves toward its branches. The paper's
    "mean squared error" is the squared distance of the logits' directions in the official code.

    Paper: Seth et al., UNFUSED: UNsupervised Finetuning Using SElf supervised Distillation, arXiv 2303.05668.
    Official code: Sreyan88/LAPE, src/upstream/unfused/upstream_expert.py, src/utils/utils.py.

    Args:
        logits: `(batch, num_clusters)`.
        branch_logits: a tuple of `(batch, num_clusters)`.
        labels: `(batch,)` integers; rows with a negative label are ignored.
        branch_weight: weight of the branches' cross entropies.
        divergence_weight: weight of the divergences.
        similarity_weight: weight of the distances.
        reduction: `"mean"` over the labeled rows, or `"none"`.

    Returns:
        A float32 scalar, 0 where no row is labeled; or `(batch,)` with `"none"`, 0 at unlabeled rows.

    Raises:
        ValueError: for shapes that do not fit, or an unknown reduction.

    Example:
        >>> from kerassl.losses import cross_entropy, unfused
        >>> z, labels = [[1.0, 0.0]], [0]
        >>> print(round(float(unfused(z, (z, z, z), labels) / cross_entropy(z, labels)), 4))
        3.1
    """
    z, labels = to_float32(logits), ops.cast(labels, "int32")
    check_reduction(reduction)
    each = cross_entropy(z, labels, reduction="none")
    labeled = ops.cast(labels >= 0, "float32")
    log_p = ops.log_softmax(z, axis=-1)
    for branch in branch_logits:
        branch = to_float32(branch)
        check_rank("branch_logits", branch, ("batch", "num_clusters"))
        check_same_shape("logits", z, "branch_logits", branch)
        divergence = ops.sum(ops.exp(log_p) * (log_p - ops.log_softmax(branch, axis=-1)), axis=-1)
        follow = divergence_weight * divergence + similarity_weight * (2.0 - 2.0 * cosine(branch, z))
        each = each + branch_weight * cross_entropy(branch, labels, reduction="none") + labeled * follow
    return labeled_mean(each, labels) if reduction == "mean" else each
