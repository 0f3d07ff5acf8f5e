"""Heads: what stands between an encoder and a loss."""

from kerassl.heads.dino import DINOHead
from kerassl.heads.mlp import mlp
from kerassl.heads.probe import OnlineProbe

__all__ = ["DINOHead", "OnlineProbe", "mlp"]
