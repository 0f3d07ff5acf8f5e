"""Optimizers whose weight decay is that of the papers, with a rate for each layer where that is wanted."""

from kerassl.optimizers.adamw import AdamW
from kerassl.optimizers.decay import decayed_variables
from kerassl.optimizers.lars import LARS
from kerassl.optimizers.layer_decay import layerwise_factors
from kerassl.optimizers.sgd import SGD

__all__ = ["LARS", "SGD", "AdamW", "decayed_variables", "layerwise_factors"]


def __dir__() -> list[str]:
    return sorted(__all__)
