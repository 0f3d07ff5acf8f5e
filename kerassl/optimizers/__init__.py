"""Optimizers whose weight decay is that of the papers."""

from kerassl.optimizers.adamw import AdamW
from kerassl.optimizers.decay import decayed_variables
from kerassl.optimizers.lars import LARS
from kerassl.optimizers.sgd import SGD

__all__ = ["LARS", "SGD", "AdamW", "decayed_variables"]
