"""Numbers that a step or an evaluation can show of features and prototypes."""

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
    "DIAGNOSTICS",
    "PowerLaw",
    "PrototypeUsage",
    "RankMe",
    "StreamingDiagnostics",
    "alignment",
    "alpha_req",
    "assigned_prototypes",
    "count_assignments",
    "dead_prototypes",
    "diagnose",
    "effective_rank",
    "eigenspectrum",
    "feature_std",
    "lidar",
    "prototype_entropy",
    "rankme",
    "tolerance",
    "uniformity",
]


def __dir__() -> list[str]:
    return sorted(__all__)
