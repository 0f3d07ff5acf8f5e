"""Methods: one file, one method, one `keras.Model`."""

from kerassl.methods.all4one import All4One
from kerassl.methods.amcl import AMCL
from kerassl.methods.amcl_barlow_twins import AMCLBarlowTwins
from kerassl.methods.amcl_moco import AMCLMoCo
from kerassl.methods.barlow_twins import BarlowTwins
from kerassl.methods.byol import BYOL
from kerassl.methods.cacr import CACR
from kerassl.methods.dcl import DCL, DCLW
from kerassl.methods.deepcluster_v2 import DeepClusterV2
from kerassl.methods.densecl import DenseCL
from kerassl.methods.dino import DINO
from kerassl.methods.dinov2 import DINOv2
from kerassl.methods.direct_clr import DirectCLR
from kerassl.methods.direct_pred import DirectCopy, DirectPred, DirectSet
from kerassl.methods.emp_ssl import EMPSSL
from kerassl.methods.fast_siam import FastSiam
from kerassl.methods.frossl import FroSSL
from kerassl.methods.groco import GroCo
from kerassl.methods.gsimclr import GSimCLR
from kerassl.methods.ibot import iBOT
from kerassl.methods.isogclr import iSogCLR
from kerassl.methods.lejepa import LeJEPA
from kerassl.methods.look import LOOK
from kerassl.methods.mae import MAE
from kerassl.methods.mixed_barlow_twins import MixedBarlowTwins
from kerassl.methods.mmcr import MMCR
from kerassl.methods.mochi import MoCHi
from kerassl.methods.moco_v2 import MoCoV2
from kerassl.methods.moco_v3 import MoCoV3
from kerassl.methods.msb_reg import MSBReg
from kerassl.methods.msn import MSN
from kerassl.methods.mugs import Mugs
from kerassl.methods.nnbyol import NNBYOL
from kerassl.methods.nnclr import NNCLR
from kerassl.methods.nnsiam import NNSiam
from kerassl.methods.pcl import PCL
from kerassl.methods.pmsn import PMSN
from kerassl.methods.poa import POA
from kerassl.methods.random_teacher import RandomTeacher
from kerassl.methods.ressl import ReSSL
from kerassl.methods.scatsimclr import ScatSimCLR
from kerassl.methods.simclr import SimCLR
from kerassl.methods.simclr_v2 import SimCLRv2
from kerassl.methods.simsiam import SimSiam
from kerassl.methods.smog import SMoG
from kerassl.methods.sogclr import SogCLR
from kerassl.methods.supcon import SupCon
from kerassl.methods.swav import SwAV
from kerassl.methods.tico import TiCo
from kerassl.methods.vibcreg import VIbCReg
from kerassl.methods.vicreg import VICReg
from kerassl.methods.vicregl import VICRegL
from kerassl.methods.visreg import VISReg
from kerassl.methods.wmse import WMSE

__all__ = [
    "AMCL",
    "AMCLBarlowTwins",
    "AMCLMoCo",
    "All4One",
    "BYOL",
    "BarlowTwins",
    "CACR",
    "DCL",
    "DCLW",
    "DINO",
    "DINOv2",
    "DeepClusterV2",
    "DenseCL",
    "DirectCLR",
    "DirectCopy",
    "DirectPred",
    "DirectSet",
    "EMPSSL",
    "FastSiam",
    "FroSSL",
    "GSimCLR",
    "GroCo",
    "LOOK",
    "LeJEPA",
    "MAE",
    "MMCR",
    "MSBReg",
    "MSN",
    "MixedBarlowTwins",
    "MoCHi",
    "MoCoV2",
    "MoCoV3",
    "Mugs",
    "NNBYOL",
    "NNCLR",
    "NNSiam",
    "PCL",
    "PMSN",
    "POA",
    "RandomTeacher",
    "ReSSL",
    "SMoG",
    "ScatSimCLR",
    "SimCLR",
    "SimCLRv2",
    "SimSiam",
    "SogCLR",
    "SupCon",
    "SwAV",
    "TiCo",
    "VICReg",
    "VICRegL",
    "VISReg",
    "VIbCReg",
    "WMSE",
    "iBOT",
    "iSogCLR",
]
