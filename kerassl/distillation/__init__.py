"""Distillation: a student learns from a frozen teacher."""

from kerassl.distillation.distill import Distill
from kerassl.distillation.distilled_classifier import DistilledClassifier
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.distillation.further_pretraining import FurtherPretraining
from kerassl.distillation.meal_v2 import MEALV2
from kerassl.distillation.rkd import RKD
from kerassl.distillation.seed import SEED
from kerassl.distillation.ssld import SSLD
from kerassl.distillation.unfused import UNFUSED

__all__ = [
    "MEALV2",
    "RKD",
    "SEED",
    "SSLD",
    "UNFUSED",
    "Distill",
    "DistilledClassifier",
    "FrozenTeacher",
    "FurtherPretraining",
]
