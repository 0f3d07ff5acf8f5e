"""Optimizers with the papers' weight decay and optional rates per layer."""

from kerassl.optimizers.adamw import AdamW
from kerassl.optimizers.decay import decayed_variables
from kerassl.optimizers.lars import LARS
from kerassl.optimizers.layer_decay import layerwise_factors
from kerassl.optimizers.sgd import SGD

__all__ = ["LARS", "SGD", "AdamW", "decayed_variables", "layerwise_factors"]


def __dir__() -> list[str]:
    return sorted(__all__)
