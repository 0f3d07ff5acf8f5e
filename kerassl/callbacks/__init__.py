"""Callbacks: checkpoints and what happens at epoch boundaries."""

from kerassl.callbacks.checkpoint import Checkpoint
from kerassl.callbacks.collapse import CollapseGuard
from kerassl.callbacks.diagnostics import Diagnostics
from kerassl.callbacks.epoch_start import EpochStart
from kerassl.callbacks.knn import KNNAccuracy
from kerassl.callbacks.low_frequency import LowFrequencyCurriculum
from kerassl.callbacks.monitors import check_monitors, log_names
from kerassl.callbacks.nonfinite import NonfiniteGuard

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
