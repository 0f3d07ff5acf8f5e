"""Heads: the layers between an encoder and a loss."""

from kerassl.heads.dimension_temperature import DimensionTemperature
from kerassl.heads.dino import DINOHead
from kerassl.heads.distances import PrototypeDistances
from kerassl.heads.ensemble import EnsembleHead
from kerassl.heads.image_decoder import image_decoder
from kerassl.heads.iter_norm import IterNorm
from kerassl.heads.mlp import mlp, plain_mlp
from kerassl.heads.multi_dino_head import MultiDINOHead
from kerassl.heads.multi_head import multi_head_mlp
from kerassl.heads.pair_temperature import PairTemperature
from kerassl.heads.probe import OnlineProbe
from kerassl.heads.prototypes import PrototypeHead
from kerassl.heads.reweighting import FixedReweighting
from kerassl.heads.transformer import sinusoidal_positions, transformer

__all__ = [
    "DINOHead",
    "MultiDINOHead",
    "DimensionTemperature",
    "EnsembleHead",
    "FixedReweighting",
    "IterNorm",
    "OnlineProbe",
    "PairTemperature",
    "PrototypeDistances",
    "PrototypeHead",
    "image_decoder",
    "mlp",
    "plain_mlp",
    "multi_head_mlp",
    "sinusoidal_positions",
    "transformer",
]


def __dir__() -> list[str]:
    return sorted(__all__)
