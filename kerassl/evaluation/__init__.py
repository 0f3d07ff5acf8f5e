"""Protocols on frozen features: weighted kNN, linear probe, few-shot, spectrum, report."""

from kerassl.evaluation.clusters import ClusterScores, cluster_scores, clustering_agreement
from kerassl.evaluation.collapse import Collapse, find_collapse
from kerassl.evaluation.confidence import confidence_interval
from kerassl.evaluation.diagnostics import DIAGNOSTICS, StreamingDiagnostics, diagnose
from kerassl.evaluation.embed import embed
from kerassl.evaluation.episodes import episode_accuracy
from kerassl.evaluation.few_shot import few_shot
from kerassl.evaluation.hypersphere import alignment, tolerance, uniformity
from kerassl.evaluation.knn import knn, knn_accuracy, knn_scores
from kerassl.evaluation.lidar import lidar
from kerassl.evaluation.linear import linear_probe
from kerassl.evaluation.naive_bayes import naive_bayes_probe
from kerassl.evaluation.ood import auroc, fpr_at_tpr, mahalanobis
from kerassl.evaluation.power_law import PowerLaw, alpha_req, eigenspectrum
from kerassl.evaluation.preparation import Preparation, PreparationGap, preparation, preparation_gap
from kerassl.evaluation.prototypes import (
    PrototypeUsage,
    assigned_prototypes,
    count_assignments,
    dead_prototypes,
    prototype_entropy,
)
from kerassl.evaluation.report import PROTOCOLS, evaluate_features, raw_pixels, report, table
from kerassl.evaluation.retrieval import retrieval_map
from kerassl.evaluation.sgd_probe import SGDProbe, sgd_probe
from kerassl.evaluation.sparsity import SparsityCurve, essential_sparsity
from kerassl.evaluation.spectrum import RankMe, effective_rank, feature_std, rankme

__all__ = [
    "ClusterScores",
    "Collapse",
    "DIAGNOSTICS",
    "PROTOCOLS",
    "PowerLaw",
    "Preparation",
    "PreparationGap",
    "PrototypeUsage",
    "RankMe",
    "SGDProbe",
    "SparsityCurve",
    "StreamingDiagnostics",
    "alignment",
    "alpha_req",
    "assigned_prototypes",
    "auroc",
    "cluster_scores",
    "clustering_agreement",
    "confidence_interval",
    "count_assignments",
    "dead_prototypes",
    "diagnose",
    "effective_rank",
    "eigenspectrum",
    "embed",
    "episode_accuracy",
    "essential_sparsity",
    "evaluate_features",
    "feature_std",
    "find_collapse",
    "few_shot",
    "fpr_at_tpr",
    "knn",
    "knn_accuracy",
    "knn_scores",
    "lidar",
    "linear_probe",
    "mahalanobis",
    "naive_bayes_probe",
    "preparation",
    "preparation_gap",
    "prototype_entropy",
    "rankme",
    "raw_pixels",
    "report",
    "retrieval_map",
    "sgd_probe",
    "table",
    "tolerance",
    "uniformity",
]
