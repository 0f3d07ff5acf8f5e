"""Pure functions of tensors: no state, no layers, no gather across devices. All compute in float32."""

from kerassl.losses.barlow_twins import barlow_twins
from kerassl.losses.byol import byol
from kerassl.losses.dino import dino, dino_teacher_probs
from kerassl.losses.masked_mse import masked_mse
from kerassl.losses.negative_cosine import negative_cosine
from kerassl.losses.nt_xent import nt_xent
from kerassl.losses.ssld import ssld

__all__ = [
    "barlow_twins",
    "byol",
    "dino",
    "dino_teacher_probs",
    "masked_mse",
    "negative_cosine",
    "nt_xent",
    "ssld",
]
