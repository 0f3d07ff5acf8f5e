"""Protocols on frozen features: weighted kNN, linear probe, few-shot, spectrum, report."""

from kerassl.evaluation.clusters import ClusterScores, cluster_scores, clustering_agreement
from kerassl.evaluation.collapse import Collapse, find_collapse
from kerassl.evaluation.confidence import confidence_interval
from kerassl.evaluation.embed import embed
from kerassl.evaluation.episodes import episode_accuracy
from kerassl.evaluation.few_labels import few_label_probe
from kerassl.evaluation.few_shot import few_shot
from kerassl.evaluation.knn import knn, knn_accuracy, knn_scores
from kerassl.evaluation.linear import LinearProbe, fit_linear_probe, linear_probe
from kerassl.evaluation.naive_bayes import naive_bayes_probe
from kerassl.evaluation.ood import auroc, fpr_at_tpr, mahalanobis, neighbor_distance, ood_detection
from kerassl.evaluation.patches import (
    ObjectSimilarity,
    PromptSegmentation,
    object_similarity,
    patch_features,
    prompt_picture,
    prompt_segmentation,
)
from kerassl.evaluation.preprocessing import (
    PreprocessingMismatch,
    TrainingPreprocessing,
    preprocessing_mismatch,
    training_preprocessing,
)
from kerassl.evaluation.report import PROTOCOLS, evaluate_features, raw_pixels, report, table
from kerassl.evaluation.retrieval import retrieval_map
from kerassl.evaluation.sgd_probe import SGDProbe, sgd_probe
from kerassl.evaluation.sparsity import SparsityCurve, essential_sparsity
from kerassl.evaluation.transductive import constrained_kmeans, laplacian_shot, nearest_prototype
from kerassl.metrics.diagnostics import DIAGNOSTICS, StreamingDiagnostics, diagnose
from kerassl.metrics.hypersphere import alignment, tolerance, uniformity
from kerassl.metrics.lidar import lidar
from kerassl.metrics.power_law import PowerLaw, alpha_req, eigenspectrum
from kerassl.metrics.prototypes import (
    PrototypeUsage,
    assigned_prototypes,
    count_assignments,
    dead_prototypes,
    prototype_entropy,
)
from kerassl.metrics.spectrum import RankMe, effective_rank, feature_std, rankme

__all__ = [
    "ClusterScores",
    "Collapse",
    "DIAGNOSTICS",
    "LinearProbe",
    "ObjectSimilarity",
    "PROTOCOLS",
    "PowerLaw",
    "PreprocessingMismatch",
    "PromptSegmentation",
    "PrototypeUsage",
    "RankMe",
    "SGDProbe",
    "SparsityCurve",
    "StreamingDiagnostics",
    "TrainingPreprocessing",
    "alignment",
    "alpha_req",
    "assigned_prototypes",
    "auroc",
    "cluster_scores",
    "clustering_agreement",
    "confidence_interval",
    "constrained_kmeans",
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
    "few_label_probe",
    "few_shot",
    "find_collapse",
    "fit_linear_probe",
    "fpr_at_tpr",
    "knn",
    "knn_accuracy",
    "knn_scores",
    "laplacian_shot",
    "lidar",
    "linear_probe",
    "mahalanobis",
    "naive_bayes_probe",
    "nearest_prototype",
    "neighbor_distance",
    "object_similarity",
    "ood_detection",
    "patch_features",
    "preprocessing_mismatch",
    "prompt_picture",
    "prompt_segmentation",
    "prototype_entropy",
    "rankme",
    "raw_pixels",
    "report",
    "retrieval_map",
    "sgd_probe",
    "table",
    "tolerance",
    "training_preprocessing",
    "uniformity",
]


def __dir__() -> list[str]:
    return sorted(__all__)
