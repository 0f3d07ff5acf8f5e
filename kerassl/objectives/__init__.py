"""Objectives that any method takes on besides its own: `model.attach(objective)`."""

from kerassl.objectives.base import Objective
from kerassl.objectives.swapped_prototypes import SwappedPrototypes

__all__ = ["Objective", "SwappedPrototypes"]


def __dir__() -> list[str]:
    return sorted(__all__)
