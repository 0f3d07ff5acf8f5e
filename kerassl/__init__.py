"""Self-supervised learning for Keras 3: one source for TensorFlow, JAX and PyTorch."""

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
from kerassl.version import __version__

__all__ = [
    "Batch",
    "Outputs",
    "Recipe",
    "SSLModel",
    "__version__",
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
