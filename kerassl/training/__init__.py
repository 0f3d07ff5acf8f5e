"""Training: the base class of every method, its loops, and what makes a run exact."""

from kerassl.arguments import (
    Annotated,
    Bound,
    Fraction,
    FractionBelowOne,
    Literal,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ProperFraction,
    Unpack,
)
from kerassl.batch import Batch, Outputs
from kerassl.training.clock import Clock
from kerassl.training.model import Common, SSLModel
from kerassl.training.recipe import OPTIMIZERS, Recipe, make_optimizer, optimizer_settings

__all__ = [
    "Annotated",
    "Batch",
    "Bound",
    "Clock",
    "Common",
    "Fraction",
    "FractionBelowOne",
    "Literal",
    "NonNegativeFloat",
    "NonNegativeInt",
    "OPTIMIZERS",
    "Outputs",
    "PositiveFloat",
    "PositiveInt",
    "ProperFraction",
    "Recipe",
    "SSLModel",
    "Unpack",
    "make_optimizer",
    "optimizer_settings",
]


def __dir__() -> list[str]:
    return sorted(__all__)
