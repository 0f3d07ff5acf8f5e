"""Methods: one file, one method, one `keras.Model`."""

from kerassl.methods.asymmetric.byol import BYOL
from kerassl.methods.asymmetric.direct_pred import DirectCopy, DirectPred, DirectSet
from kerassl.methods.asymmetric.fast_siam import FastSiam
from kerassl.methods.asymmetric.nnbyol import NNBYOL
from kerassl.methods.asymmetric.nnsiam import NNSiam
from kerassl.methods.asymmetric.ressl import ReSSL
from kerassl.methods.asymmetric.simsiam import SimSiam
from kerassl.methods.clustering.deepcluster_v2 import DeepClusterV2
from kerassl.methods.clustering.msn import MSN
from kerassl.methods.clustering.pcl import PCL
from kerassl.methods.clustering.pmsn import PMSN
from kerassl.methods.clustering.smog import SMoG
from kerassl.methods.clustering.swav import SwAV
from kerassl.methods.clustering.twist import TWIST
from kerassl.methods.contrastive.all4one import All4One
from kerassl.methods.contrastive.amcl import AMCL
from kerassl.methods.contrastive.amcl_moco import AMCLMoCo
from kerassl.methods.contrastive.cacr import CACR
from kerassl.methods.contrastive.dcl import DCL, DCLW
from kerassl.methods.contrastive.densecl import DenseCL
from kerassl.methods.contrastive.direct_clr import DirectCLR
from kerassl.methods.contrastive.groco import GroCo
from kerassl.methods.contrastive.gsimclr import GSimCLR
from kerassl.methods.contrastive.isogclr import iSogCLR
from kerassl.methods.contrastive.look import LOOK
from kerassl.methods.contrastive.macl import MACL
from kerassl.methods.contrastive.mochi import MoCHi
from kerassl.methods.contrastive.moco_v2 import MoCoV2
from kerassl.methods.contrastive.moco_v3 import MoCoV3
from kerassl.methods.contrastive.nnclr import NNCLR
from kerassl.methods.contrastive.scatsimclr import ScatSimCLR
from kerassl.methods.contrastive.simclr import SimCLR
from kerassl.methods.contrastive.simclr_v2 import SimCLRv2
from kerassl.methods.contrastive.sogclr import SogCLR
from kerassl.methods.contrastive.supcon import SupCon
from kerassl.methods.masked.mae import MAE
from kerassl.methods.redundancy.amcl_barlow_twins import AMCLBarlowTwins
from kerassl.methods.redundancy.barlow_twins import BarlowTwins
from kerassl.methods.redundancy.emp_ssl import EMPSSL
from kerassl.methods.redundancy.frossl import FroSSL
from kerassl.methods.redundancy.lejepa import LeJEPA
from kerassl.methods.redundancy.mixed_barlow_twins import MixedBarlowTwins
from kerassl.methods.redundancy.mmcr import MMCR
from kerassl.methods.redundancy.msb_reg import MSBReg
from kerassl.methods.redundancy.tico import TiCo
from kerassl.methods.redundancy.vibcreg import VIbCReg
from kerassl.methods.redundancy.vicreg import VICReg
from kerassl.methods.redundancy.vicregl import VICRegL
from kerassl.methods.redundancy.visreg import VISReg
from kerassl.methods.redundancy.wmse import WMSE
from kerassl.methods.self_distillation.dino import DINO
from kerassl.methods.self_distillation.dinov2 import DINOv2
from kerassl.methods.self_distillation.ibot import iBOT
from kerassl.methods.self_distillation.mugs import Mugs
from kerassl.methods.self_distillation.poa import POA
from kerassl.methods.self_distillation.random_teacher import RandomTeacher

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
    "MACL",
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
    "TWIST",
    "TiCo",
    "VICReg",
    "VICRegL",
    "VISReg",
    "VIbCReg",
    "WMSE",
    "iBOT",
    "iSogCLR",
]


def __dir__() -> list[str]:
    return sorted(__all__)
