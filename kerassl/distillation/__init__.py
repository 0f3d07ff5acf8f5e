"""Distillation: a student learns from a frozen teacher, or from itself."""

from kerassl.distillation.distill import Distill
from kerassl.distillation.distilled_classifier import DistilledClassifier
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.distillation.fst import FST
from kerassl.distillation.further_pretraining import FurtherPretraining
from kerassl.distillation.lsskd import LSSKD
from kerassl.distillation.meal_v2 import MEALV2
from kerassl.distillation.nkd import NKD
from kerassl.distillation.ps_kd import PSKD
from kerassl.distillation.rkd import RKD
from kerassl.distillation.seed import SEED
from kerassl.distillation.sla import SLA
from kerassl.distillation.ssld import SSLD
from kerassl.distillation.unfused import UNFUSED
from kerassl.distillation.uskd import USKD

__all__ = [
    "FST",
    "LSSKD",
    "MEALV2",
    "NKD",
    "PSKD",
    "RKD",
    "SEED",
    "SLA",
    "SSLD",
    "UNFUSED",
    "USKD",
    "Distill",
    "DistilledClassifier",
    "FrozenTeacher",
    "FurtherPretraining",
]


def __dir__() -> list[str]:
    return sorted(__all__)
