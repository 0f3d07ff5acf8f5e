"""Distillation: a student learns from a frozen teacher."""

from kerassl.distillation.distill import Distill
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.distillation.rkd import RKD
from kerassl.distillation.seed import SEED
from kerassl.distillation.ssld import SSLD

__all__ = ["RKD", "SEED", "SSLD", "Distill", "FrozenTeacher"]
