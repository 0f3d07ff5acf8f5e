"""Methods: one file, one method, one `keras.Model`."""

from kerassl.methods.barlow_twins import BarlowTwins
from kerassl.methods.byol import BYOL
from kerassl.methods.dino import DINO
from kerassl.methods.mae import MAE
from kerassl.methods.simclr import SimCLR

__all__ = ["BYOL", "DINO", "MAE", "BarlowTwins", "SimCLR"]
