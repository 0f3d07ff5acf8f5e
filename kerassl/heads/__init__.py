"""Heads: what stands between an encoder and a loss."""

from kerassl.heads.dino import DINOHead
from kerassl.heads.iter_norm import IterNorm
from kerassl.heads.mlp import mlp
from kerassl.heads.multi_head import multi_head_mlp
from kerassl.heads.pair_temperature import PairTemperature
from kerassl.heads.probe import OnlineProbe
from kerassl.heads.reweighting import FixedReweighting

__all__ = ["DINOHead", "OnlineProbe", "PairTemperature", "mlp", "multi_head_mlp"]
__all__ = ["DINOHead", "FixedReweighting", "OnlineProbe", "mlp"]
from kerassl.heads.transformer import sinusoidal_positions, transformer

__all__ = ["DINOHead", "OnlineProbe", "mlp", "sinusoidal_positions", "transformer"]
__all__ = ["DINOHead", "IterNorm", "OnlineProbe", "mlp"]
