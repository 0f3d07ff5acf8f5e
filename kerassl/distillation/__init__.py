"""Distillation: a student learns from a frozen teacher, or from itself."""

from kerassl.distillation.distill import Distill
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.distillation.fst import FST
from kerassl.distillation.lsskd import LSSKD
from kerassl.distillation.nkd import NKD
from kerassl.distillation.ps_kd import PSKD
from kerassl.distillation.rkd import RKD
from kerassl.distillation.seed import SEED
from kerassl.distillation.sla import SLA
from kerassl.distillation.ssld import SSLD
from kerassl.distillation.uskd import USKD

__all__ = ["FST", "LSSKD", "NKD", "PSKD", "RKD", "SEED", "SLA", "SSLD", "USKD", "Distill", "FrozenTeacher"]
