"""Protocols on frozen features: weighted kNN, linear probe, few-shot, spectrum, report."""

from kerassl.evaluation.embed import embed
from kerassl.evaluation.episodes import episode_accuracy
from kerassl.evaluation.few_shot import few_shot
from kerassl.evaluation.hypersphere import alignment, tolerance, uniformity
from kerassl.evaluation.knn import knn, knn_accuracy, knn_scores
from kerassl.evaluation.linear import linear_probe
from kerassl.evaluation.ood import auroc, fpr_at_tpr, mahalanobis
from kerassl.evaluation.prototypes import (
    PrototypeUsage,
    assigned_prototypes,
    count_assignments,
    dead_prototypes,
    prototype_entropy,
)
from kerassl.evaluation.report import evaluate_features, raw_pixels, report, table
from kerassl.evaluation.spectrum import RankMe, effective_rank, feature_std, rankme

__all__ = [
    "PrototypeUsage",
    "RankMe",
    "alignment",
    "assigned_prototypes",
    "auroc",
    "count_assignments",
    "dead_prototypes",
    "effective_rank",
    "embed",
    "episode_accuracy",
    "evaluate_features",
    "feature_std",
    "few_shot",
    "fpr_at_tpr",
    "knn",
    "knn_accuracy",
    "knn_scores",
    "linear_probe",
    "mahalanobis",
    "prototype_entropy",
    "rankme",
    "raw_pixels",
    "report",
    "table",
    "tolerance",
    "uniformity",
]
