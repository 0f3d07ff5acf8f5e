"""Callbacks: checkpoints and actions at epoch boundaries."""

from kerassl.callbacks.collapse import CollapseGuard
from kerassl.callbacks.diagnostics import Diagnostics
from kerassl.callbacks.knn import KNNAccuracy
from kerassl.callbacks.low_frequency import LowFrequencyCurriculum
from kerassl.training.checkpoint import Checkpoint
from kerassl.training.epoch_start import EpochStart
from kerassl.training.monitors import check_monitors, log_names
from kerassl.training.nonfinite_guard import NonfiniteGuard

__all__ = [
    "Checkpoint",
    "CollapseGuard",
    "Diagnostics",
    "EpochStart",
    "KNNAccuracy",
    "LowFrequencyCurriculum",
    "NonfiniteGuard",
    "check_monitors",
    "log_names",
]


def __dir__() -> list[str]:
    return sorted(__all__)
