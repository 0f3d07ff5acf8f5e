"""Distillation: a student learns from a frozen teacher."""

from kerassl.distillation.ssld import SSLD

__all__ = ["SSLD"]
