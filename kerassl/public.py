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
    objectives,
    optimizers,
    schedules,
    views,
)
from kerassl.engine import distribute
from kerassl.evaluation import embed
from kerassl.model import SSLModel

__all__ = [
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
    "objectives",
    "optimizers",
    "schedules",
    "views",
]
