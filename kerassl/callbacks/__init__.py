"""Callbacks: what happens at epoch boundaries."""

from kerassl.callbacks.collapse import CollapseGuard
from kerassl.callbacks.knn import KNNAccuracy

__all__ = ["CollapseGuard", "KNNAccuracy"]
