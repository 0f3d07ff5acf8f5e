"""The names of `import kerassl`."""

from kerassl import (
    backbones,
    callbacks,
    classifiers,
    data,
    distillation,
    evaluation,
    export,
    heads,
    losses,
    methods,
    metrics,
    objectives,
    optimizers,
    schedules,
    views,
)
from kerassl.engine import distribute
from kerassl.evaluation import embed
from kerassl.training import Batch, Outputs, Recipe, SSLModel

__all__ = [
    "Batch",
    "Outputs",
    "Recipe",
    "SSLModel",
    "backbones",
    "callbacks",
    "classifiers",
    "data",
    "distillation",
    "distribute",
    "embed",
    "evaluation",
    "export",
    "heads",
    "losses",
    "methods",
    "metrics",
    "objectives",
    "optimizers",
    "schedules",
    "views",
]
