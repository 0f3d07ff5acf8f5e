"""How the launchers run each method: the optimizer of its paper, and what suits a short run.

The papers' rates are those for a batch of 256 and grow with the batch. Their sources, in parentheses the
methods that take those of another:

- SimCLR (DCL): arXiv 2002.05709 section 2.2, google-research/simclr, whose readme has those of SimCLR v2, of
  its fine-tuning and of its distilled classifiers: the rate grows with the root of the batch
- SupCon: HobbitLong/SupContrast
- MoCo v2 (MoCHi, DenseCL, PCL; CACR and LOOK, of whose own little is known): arXiv 2003.04297,
  facebookresearch/moco
- MoCo v3: arXiv 2104.02057 section 4
- NNCLR: arXiv 2104.14548 section 4; All4One: ImaGonEs/all4one, `scripts/pretrain/cifar`
- SogCLR (iSogCLR): arXiv 2202.12387, Optimization-AI/SogCLR, whose 0.075 times the root of the batch is
  1.2 at 256
- GroCo: ninatu/learning_by_sorting, `configs/2views_100ep.yaml`
- ScatSimCLR: vkinakh/scatsimclr, with Adam there
- BYOL (NNBYOL, TiCo, MSBReg): arXiv 2006.07733 section 3.3
- DirectPred (DirectSet, DirectCopy): facebookresearch/luckmatters, `ssl/real-dataset`, whose batch is 128
- SimSiam (NNSiam, FastSiam): arXiv 2011.10566 section 3
- ReSSL: arXiv 2107.09282, KyleZheng1997/ReSSL
- Barlow Twins: arXiv 2103.03230 section 2.2, whose rate of 0.0048 for biases is not used
- VICReg: arXiv 2105.04906 section 4.2
- MMCR: ThomasYerxa/mmcr; FroSSL: OFSkean/FroSSL; EMP-SSL: tsb0601/EMP-SSL
- LeJEPA: rbalestr-lab/lejepa; VISReg: HaiyuWu/visreg
- SwAV (DeepCluster v2, SMoG): arXiv 2006.09882, facebookresearch/swav, whose 4.8 is for batches of 4096
- SEER: arXiv 2103.01988, facebookresearch/vissl, `configs/config/pretrain/seer`
- DINO: arXiv 2104.14294 section 3.2, facebookresearch/dino
- Mugs: arXiv 2203.14415, sail-sg/mugs
- iBOT: arXiv 2111.07832, bytedance/ibot
- DINOv2 (POA): facebookresearch/dinov2, whose 0.004 at 1024 grows with the root of the batch and is 0.002
  at 256
- MAE: arXiv 2111.06377 appendix A.1
- MSN (PMSN): facebookresearch/msn, `configs/pretrain/msn_vits16.yaml`, whose 1e-3 is for batches of 1024
- SSLD (KD, RKD): PaddlePaddle/PaddleClas; SEED: jacobswan1/SEED
- Further pre-training: arXiv 2210.02871, seanie12/self-distillation
- UNFUSED: Sreyan88/LAPE, whose 0.03 is for batches of 64
- MEAL V2: szq0214/MEAL-V2, whose 0.01 is for batches of 512
- NKD (USKD): yzd-v/cls_KD, `configs/resnet`
- PS-KD: lgcnsai/PS-KD-Pytorch; SLA: hankook/SLA, both with batches of 128
- LSSKD: of HSAKD, winycg/HSAKD, with batches of 64
- FST (mean teacher): of FixMatch, arXiv 2001.07685 section 4, with batches of 64; FST's own are those of
  segmentation
- Random teachers: arXiv 2302.12091 section 3, with Adam
- Classifier: arXiv 1512.03385 section 3.4
- PALM: jeff024/PALM, whose 0.5 is for batches of 512
- ProtoPNet (ST-ProtoPNet): arXiv 1806.10574, cfchen-duke/ProtoPNet, with Adam, 1e-4 for the encoder and 3e-3
  for the rest
- PrototypeDL (Prob-PSENN): arXiv 1710.04806, OscarcarLi/PrototypeDL, with Adam
- Prototypical Networks: arXiv 1703.05175 section 3.1, jakesnell/prototypical-networks, with Adam

A short run has fewer than 10,000 updates: LARS and the ViT rates of the papers hardly move a network in
so few. It takes AdamW, a rate that was tried on small images, and a tenth of it as warm-up; heads and queues
are smaller, to fit the narrow networks and few images of such runs, and teachers faster.
"""

import math
from dataclasses import dataclass, field

from kerassl import classifiers, distillation, methods

# The rate grows with the root of the batch.
ROOT = 0.5
SIMCLR = {"optimizer": "lars", "learning_rate": 0.3, "weight_decay": 1e-6, "warmup_epochs": 10}
SIMCLR_V2 = {
    **SIMCLR,
    "learning_rate": 1.2,
    "batch_power": ROOT,
    "weight_decay": 1e-4,
    "options": {"lr_in_momentum": True},
}
SOGCLR = {**SIMCLR, "learning_rate": 1.2, "batch_power": ROOT}
BYOL = {"optimizer": "lars", "learning_rate": 0.2, "weight_decay": 1.5e-6, "warmup_epochs": 10}
# Momentum, rate and decay of BYOL's appendix F for runs of 40, 300 and 1000 epochs of ImageNet, by the
# updates below which they are taken here.
BYOL_BY_UPDATES = {20_000: (0.97, 0.45, 1e-6), 150_000: (0.99, 0.3, 1e-6), math.inf: (0.996, 0.2, 1.5e-6)}
SIMSIAM = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 1e-4, "warmup_epochs": 0}
MOCO = {"optimizer": "sgd", "learning_rate": 0.03, "weight_decay": 1e-4, "warmup_epochs": 0}
SHORT_MOCO = {"temperature": 0.1, "momentum": 0.99, "queue_size": 4096, "symmetric": True}
VICREG = {"optimizer": "lars", "learning_rate": 0.2, "weight_decay": 1e-6, "warmup_epochs": 10}
DIRECT_PRED = {"optimizer": "sgd", "learning_rate": 0.06, "weight_decay": 4e-4, "warmup_epochs": 0}
SSLD = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4, "warmup_epochs": 5}
NKD = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4, "warmup_epochs": 0}
FIXMATCH = {
    "optimizer": "sgd",
    "learning_rate": 0.12,
    "weight_decay": 5e-4,
    "warmup_epochs": 0,
    "options": {"nesterov": True, "decay_bias_and_norm": False},
}
PS_KD = {**FIXMATCH, "learning_rate": 0.2, "options": {"nesterov": True}}
# LARC of NVIDIA's apex.
SWAV = {**SIMCLR, "options": {"decay_bias_and_norm": True}}
AMCL = {"optimizer": "sgd", "learning_rate": 0.03, "weight_decay": 5e-4, "warmup_epochs": 0}
MSN = {
    "optimizer": "adamw",
    "learning_rate": 2.5e-4,
    "weight_decay": 0.04,
    "final_weight_decay": 0.4,
    "warmup_epochs": 15,
    "options": {"global_clipnorm": 3.0},
}
# No more prototypes than images in a batch, over which they are spread.
SHORT_MSN = {"momentum": 0.99, "num_prototypes": 256, "hidden_dim": 512, "projection_dim": 128}
SHORT_AMCL = {"min_temperature": 0.05, "max_temperature": 0.35, "temperature_hidden_dim": 32}
DINO = {
    "optimizer": "adamw",
    "learning_rate": 5e-4,
    "weight_decay": 0.04,
    "final_weight_decay": 0.4,
    "warmup_epochs": 10,
    "options": {"clipnorm": 3.0},
}
DINOV2 = {**DINO, "learning_rate": 2e-3, "batch_power": ROOT}
SHORT_DINO = {"learning_rate": 1e-3, "weight_decay": 0.04, "final_weight_decay": 0.4}
SHORT_DINO_HEAD = {"momentum": 0.99, "num_prototypes": 1024, "hidden_dim": 512, "bottleneck_dim": 128}
SHORT_IBOT = {**SHORT_DINO_HEAD, "teacher_temperature": 0.04, "warmup_teacher_temperature_epochs": 0}


@dataclass(frozen=True, kw_only=True)
class MethodRecipe:
    """What a launcher knows of a method.

    Attributes:
        method: the class.
        paper: optimizer, learning rate at a batch of 256, weight decay and warm-up of the paper; the power of
            the batch with which the rate grows, if not 1; further options of the optimizer.
        short: rate and decay of AdamW in a short run.
        arguments: of the class, where they are not its defaults.
        short_arguments: further ones, in a short run.
        backbone: the kind of network that the method was made for.
        resnet_args: of a ResNet, where the method needs another than the usual one.
        views: name of a recipe of `kerassl.views`, or "default" for the class's own.
        constant_rate: the part of the method whose learning rate stays at its peak under the paper's
            optimizer, or `None`.
    """

    method: type
    paper: dict
    short: dict = field(default_factory=lambda: {"learning_rate": 2e-3, "weight_decay": 1e-4})
    arguments: dict = field(default_factory=dict)
    short_arguments: dict = field(default_factory=dict)
    backbone: str = "resnet18"
    resnet_args: dict = field(default_factory=dict)
    views: str = "default"
    constant_rate: str | None = None


METHODS = {
    "all4one": MethodRecipe(
        method=methods.All4One,
        # Of small images.
        paper={
            **SIMCLR,
            "learning_rate": 1.0,
            "weight_decay": 1e-5,
            "options": {"trust_coefficient": 0.02, "clip": True},
        },
        short_arguments={
            "hidden_dim": 512,
            "projection_dim": 128,
            "prediction_hidden_dim": 512,
            "queue_size": 4096,
        },
    ),
    "amcl": MethodRecipe(method=methods.AMCL, paper=AMCL, short_arguments=SHORT_AMCL),
    "amcl_barlow_twins": MethodRecipe(
        method=methods.AMCLBarlowTwins, paper=BYOL, short_arguments={"hidden_dim": 512, "projection_dim": 512}
    ),
    "amcl_moco": MethodRecipe(
        method=methods.AMCLMoCo,
        paper={**AMCL, "learning_rate": 0.04},
        short_arguments={**SHORT_AMCL, "queue_size": 2048},
    ),
    "barlow_twins": MethodRecipe(
        method=methods.BarlowTwins, paper=BYOL, short_arguments={"hidden_dim": 512, "projection_dim": 512}
    ),
    "byol": MethodRecipe(
        method=methods.BYOL, paper=BYOL, short_arguments={"hidden_dim": 512, "projection_dim": 128}
    ),
    "cacr": MethodRecipe(method=methods.CACR, paper=MOCO),
    "dcl": MethodRecipe(method=methods.DCL, paper=SIMCLR, short_arguments={"temperature": 0.2}),
    "dclw": MethodRecipe(method=methods.DCLW, paper=SIMCLR, short_arguments={"temperature": 0.2}),
    "deepcluster_v2": MethodRecipe(
        method=methods.DeepClusterV2,
        paper=SWAV,
        short_arguments={"num_prototypes": 100, "hidden_dims": (512,)},
    ),
    "dense_cl": MethodRecipe(
        method=methods.DenseCL,
        paper=MOCO,
        short_arguments={**SHORT_MOCO, "dense_warmup_updates": 40},
        resnet_args={"pool": None},
    ),
    "dino": MethodRecipe(
        method=methods.DINO,
        paper=DINO,
        short=SHORT_DINO,
        short_arguments=SHORT_DINO_HEAD,
        backbone="vit_tiny",
    ),
    "dinov2": MethodRecipe(
        method=methods.DINOv2,
        paper=DINOV2,
        short=SHORT_DINO,
        short_arguments=SHORT_IBOT,
        backbone="vit_tiny",
    ),
    "direct_clr": MethodRecipe(
        method=methods.DirectCLR,
        paper=SIMCLR,
        short_arguments={"temperature": 0.2, "subvector_dim": 64},
    ),
    "direct_copy": MethodRecipe(
        method=methods.DirectCopy, paper=DIRECT_PRED, short_arguments={"momentum": 0.97}
    ),
    "direct_pred": MethodRecipe(
        method=methods.DirectPred, paper=DIRECT_PRED, short_arguments={"momentum": 0.97}
    ),
    "direct_set": MethodRecipe(
        method=methods.DirectSet, paper=DIRECT_PRED, short_arguments={"momentum": 0.97}
    ),
    "emp_ssl": MethodRecipe(
        method=methods.EMPSSL,
        # Of the official batch of 100, the rate is 0.3.
        paper={
            "optimizer": "lars",
            "learning_rate": 0.77,
            "weight_decay": 1e-4,
            "warmup_epochs": 0,
            "options": {"trust_coefficient": 0.005, "clip": True},
        },
        short_arguments={"num_patches": 6, "hidden_dim": 512, "projection_dim": 256},
    ),
    "fast_siam": MethodRecipe(
        method=methods.FastSiam,
        paper=SIMSIAM,
        short_arguments={"projection_dim": 512, "prediction_hidden_dim": 128},
    ),
    "frossl": MethodRecipe(
        method=methods.FroSSL,
        paper={**SIMCLR, "weight_decay": 1e-4, "options": {"trust_coefficient": 0.02, "clip": True}},
        # The pull of the views grows with the width over the batch: at the paper's width they pull too much.
        short_arguments={"hidden_dim": 512, "projection_dim": 512},
    ),
    "g_simclr": MethodRecipe(
        method=methods.GSimCLR,
        paper=SIMCLR,
        short_arguments={"temperature": 0.2, "autoencoder_epochs": 5},
    ),
    "groco": MethodRecipe(
        method=methods.GroCo,
        # 0.75 times 32 at the official batch of 1024.
        paper={"optimizer": "sgd", "learning_rate": 6.0, "weight_decay": 1e-6, "warmup_epochs": 1},
        short_arguments={"projection_dim": 512},
    ),
    "ibot": MethodRecipe(
        method=methods.iBOT,
        paper=DINO,
        short=SHORT_DINO,
        short_arguments=SHORT_IBOT,
        backbone="vit_tiny",
    ),
    "isogclr": MethodRecipe(
        method=methods.iSogCLR,
        paper=SOGCLR,
        short_arguments={
            "temperature": 0.2,
            "robustness": 0.4,
            "temperature_learning_rate": 0.03,
            "temperature_momentum": 0.5,
            "hidden_dim": 512,
        },
    ),
    "lejepa": MethodRecipe(
        method=methods.LeJEPA,
        # Of ResNets; the decay of ViTs is 0.05.
        paper={"optimizer": "adamw", "learning_rate": 5e-4, "weight_decay": 5e-4, "warmup_epochs": 10},
        short_arguments={
            "num_views": 4,
            "num_global_views": 4,
            "num_directions": 256,
            "hidden_dim": 512,
            "projection_dim": 64,
        },
    ),
    "look": MethodRecipe(
        method=methods.LOOK,
        paper=MOCO,
        short_arguments={"num_neighbors": 100, "momentum": 0.99, "queue_size": 4096},
    ),
    "mae": MethodRecipe(
        method=methods.MAE,
        paper={
            "optimizer": "adamw",
            "learning_rate": 1.5e-4,
            "weight_decay": 0.05,
            "warmup_epochs": 40,
            "options": {"beta_2": 0.95},
        },
        short={"learning_rate": 1.5e-3, "weight_decay": 0.05},
        short_arguments={"decoder_dim": 96, "decoder_depth": 2, "decoder_num_heads": 3},
        backbone="vit_tiny",
    ),
    "mixed_barlow_twins": MethodRecipe(
        method=methods.MixedBarlowTwins,
        # Of small images, as is the weight of the regulariser.
        paper={"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 1e-6, "warmup_epochs": 10},
        arguments={"redundancy_weight": 1 / 128, "hidden_dim": 512, "projection_dim": 1024},
        short_arguments={"projection_dim": 512},
    ),
    "mmcr": MethodRecipe(
        method=methods.MMCR,
        paper={"optimizer": "lars", "learning_rate": 0.6, "weight_decay": 1e-6, "warmup_epochs": 10},
        short_arguments={"hidden_dim": 512, "projection_dim": 128},
    ),
    "mochi": MethodRecipe(
        method=methods.MoCHi,
        paper=MOCO,
        short_arguments={
            **SHORT_MOCO,
            "num_hardest": 512,
            "num_mixed": 256,
            "num_query_mixed": 64,
            "mixing_start_epoch": 5,
        },
    ),
    "moco_v2": MethodRecipe(method=methods.MoCoV2, paper=MOCO, short_arguments=SHORT_MOCO),
    "moco_v3": MethodRecipe(
        method=methods.MoCoV3,
        paper={
            "optimizer": "adamw",
            "learning_rate": 1.5e-4,
            "weight_decay": 0.1,
            "warmup_epochs": 40,
            "options": {"decay_bias_and_norm": True},
        },
        short={"learning_rate": 1e-3, "weight_decay": 0.05},
        short_arguments={"hidden_dim": 512, "projection_dim": 128},
        backbone="vit_tiny",
    ),
    "msb_reg": MethodRecipe(
        method=methods.MSBReg,
        paper=BYOL,
        short_arguments={"momentum": 0.99, "hidden_dim": 512, "projection_dim": 128},
    ),
    "msn": MethodRecipe(
        method=methods.MSN,
        paper=MSN,
        short=SHORT_DINO,
        short_arguments=SHORT_MSN,
        backbone="vit_tiny",
    ),
    "mugs": MethodRecipe(
        method=methods.Mugs,
        paper={**DINO, "learning_rate": 8e-4, "final_weight_decay": 0.2},
        short=SHORT_DINO,
        short_arguments={
            **SHORT_DINO_HEAD,
            "teacher_temperature": 0.04,
            "warmup_teacher_temperature_epochs": 0,
            "queue_size": 4096,
            "memory_size": 4096,
            "prediction_hidden_dim": 512,
        },
        backbone="vit_tiny",
    ),
    "nnbyol": MethodRecipe(
        method=methods.NNBYOL,
        paper=BYOL,
        short_arguments={"momentum": 0.97, "hidden_dim": 512, "projection_dim": 128, "queue_size": 4096},
    ),
    "nnclr": MethodRecipe(
        method=methods.NNCLR,
        paper=SIMCLR,
        short_arguments={
            "temperature": 0.2,
            "hidden_dim": 512,
            "projection_dim": 128,
            "prediction_hidden_dim": 512,
            "queue_size": 4096,
        },
    ),
    "nnsiam": MethodRecipe(
        method=methods.NNSiam,
        paper=SIMSIAM,
        constant_rate="predictor",
        short_arguments={"projection_dim": 512, "prediction_hidden_dim": 512, "queue_size": 4096},
    ),
    "pcl": MethodRecipe(
        method=methods.PCL,
        paper=MOCO,
        short_arguments={
            **SHORT_MOCO,
            "num_prototypes": (50, 100, 200),
            "num_negative_prototypes": 200,
            "warmup_epochs": 4,
            "kmeans_restarts": 1,
        },
    ),
    "pmsn": MethodRecipe(
        method=methods.PMSN,
        paper=MSN,
        short=SHORT_DINO,
        # At a weight of 1, most prototypes were out of use after two epochs of the CPU protocol.
        short_arguments={**SHORT_MSN, "regularization_weight": 4.0},
        backbone="vit_tiny",
    ),
    "poa": MethodRecipe(
        method=methods.POA,
        paper={**DINOV2, "options": {"clipnorm": 1.5}},
        short=SHORT_DINO,
        short_arguments={**SHORT_IBOT, "num_prototypes": (256, 512), "patch_start_epoch": 0},
        backbone="vit_tiny",
    ),
    "random_teacher": MethodRecipe(
        method=methods.RandomTeacher,
        paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0},
        short={"learning_rate": 1e-2, "weight_decay": 0.0},
        short_arguments={"output_dim": 1024, "hidden_dim": 512, "bottleneck_dim": 128},
        # A teacher whose residual branches begin at zero sees little.
        resnet_args={"zero_init_residual": False},
    ),
    "ressl": MethodRecipe(
        method=methods.ReSSL,
        paper={**SIMSIAM, "warmup_epochs": 5, "options": {"decay_bias_and_norm": False}},
        short_arguments={"momentum": 0.99, "queue_size": 4096, "hidden_dim": 512, "projection_dim": 128},
    ),
    "scat_simclr": MethodRecipe(
        method=methods.ScatSimCLR,
        paper={"optimizer": "adamw", "learning_rate": 3e-4, "weight_decay": 1e-5, "warmup_epochs": 0},
        short_arguments={"temperature": 0.2},
        backbone="scatnet",
    ),
    # SwAV on uncurated images, each seen about once.
    "seer": MethodRecipe(
        method=methods.SwAV,
        paper={**SWAV, "weight_decay": 1e-5, "warmup_epochs": 0.0436},
        arguments={
            "num_prototypes": 16_000,
            "sinkhorn_temperature": 0.03,
            "sinkhorn_iterations": 10,
            "queue_size": 0,
            "hidden_dims": (8192, 8192),
            "projection_dim": 256,
            "use_batch_norm_in_head": False,
        },
        short_arguments={
            "num_prototypes": 256,
            "hidden_dims": (512,),
            "projection_dim": 128,
            "freeze_prototypes_updates": 40,
        },
        views="seer",
    ),
    "simclr": MethodRecipe(
        method=methods.SimCLR,
        paper={**SIMCLR, "options": {"lr_in_momentum": True}},
        short_arguments={"temperature": 0.2},
    ),
    "simclr_v2": MethodRecipe(method=methods.SimCLRv2, paper=SIMCLR_V2, short_arguments={"temperature": 0.2}),
    "simsiam": MethodRecipe(
        method=methods.SimSiam,
        paper=SIMSIAM,
        constant_rate="predictor",
        short_arguments={"projection_dim": 512, "prediction_hidden_dim": 128},
    ),
    "smog": MethodRecipe(
        method=methods.SMoG,
        paper=SWAV,
        short_arguments={
            "num_groups": 100,
            "momentum": 0.99,
            "reset_updates": 120,
            "bank_size": 8192,
            "hidden_dim": 512,
        },
    ),
    "sogclr": MethodRecipe(
        method=methods.SogCLR, paper=SOGCLR, short_arguments={"temperature": 0.2, "hidden_dim": 512}
    ),
    "supcon": MethodRecipe(
        method=methods.SupCon,
        # 0.5 at the official batch of 1024, times the 0.1 / 0.07 of the official loss.
        paper={"optimizer": "sgd", "learning_rate": 0.179, "weight_decay": 1e-4, "warmup_epochs": 10},
    ),
    "swav": MethodRecipe(
        method=methods.SwAV,
        paper=SWAV,
        short_arguments={
            "num_prototypes": 256,
            "hidden_dims": (512,),
            "queue_size": 0,
            "freeze_prototypes_updates": 40,
        },
    ),
    "tico": MethodRecipe(
        method=methods.TiCo,
        paper=BYOL,
        short_arguments={"momentum": 0.99, "hidden_dim": 512, "projection_dim": 128},
    ),
    "vibcreg": MethodRecipe(
        method=methods.VIbCReg,
        paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-5, "warmup_epochs": 0},
        short_arguments={"hidden_dim": 1024, "projection_dim": 1024},
    ),
    "vicreg": MethodRecipe(
        method=methods.VICReg,
        paper=VICREG,
        short_arguments={"hidden_dim": 1024, "projection_dim": 1024},
    ),
    "vicregl": MethodRecipe(
        method=methods.VICRegL,
        paper=VICREG,
        short_arguments={
            "global_weight": 0.9,
            "num_matches": 2,
            "hidden_dim": 1024,
            "projection_dim": 1024,
            "local_dim": 128,
        },
        resnet_args={"pool": None},
    ),
    "visreg": MethodRecipe(
        method=methods.VISReg,
        paper={
            "optimizer": "adamw",
            "learning_rate": 9e-4,
            "weight_decay": 0.05,
            "warmup_epochs": 5,
            "options": {"global_clipnorm": 1.0},
        },
        # The weight of the official run on a small data set.
        short_arguments={
            "regularization_weight": 0.6,
            "num_directions": 256,
            "hidden_dim": 512,
            "projection_dim": 128,
        },
    ),
    "wmse": MethodRecipe(
        method=methods.WMSE,
        paper={"optimizer": "adamw", "learning_rate": 1.5e-3, "weight_decay": 1e-6, "warmup_epochs": 5},
        short_arguments={"subbatch_size": 256},
    ),
}
# Distillation has a launcher of its own, recipes.distill: from a teacher, and below from itself with labels.
DISTILLATION = {
    "distilled_classifier": MethodRecipe(
        method=distillation.DistilledClassifier, paper={**SIMCLR_V2, "warmup_epochs": 0}
    ),
    "further_pretraining": MethodRecipe(
        method=distillation.FurtherPretraining,
        # Of the official batch of 64, the rate is 1.5e-4.
        paper={
            "optimizer": "adamw",
            "learning_rate": 6e-4,
            "weight_decay": 0.01,
            "warmup_epochs": 0,
            "options": {"beta_2": 0.95},
        },
        short={"learning_rate": 1.5e-3, "weight_decay": 0.01},
    ),
    "kd": MethodRecipe(method=distillation.Distill, paper=SSLD, arguments={"loss": "kd"}),
    "meal_v2": MethodRecipe(
        method=distillation.MEALV2,
        paper={"optimizer": "sgd", "learning_rate": 0.005, "weight_decay": 0.0, "warmup_epochs": 0},
        short={"learning_rate": 2e-3, "weight_decay": 0.0},
    ),
    "nkd": MethodRecipe(method=distillation.NKD, paper=NKD),
    "rkd": MethodRecipe(method=distillation.RKD, paper=SSLD),
    "seed": MethodRecipe(
        method=distillation.SEED,
        paper={"optimizer": "sgd", "learning_rate": 0.03, "weight_decay": 1e-4, "warmup_epochs": 0},
        short_arguments={"queue_size": 4096, "hidden_dim": 512},
    ),
    "ssld": MethodRecipe(method=distillation.SSLD, paper=SSLD),
    "unfused": MethodRecipe(
        method=distillation.UNFUSED,
        paper={"optimizer": "sgd", "learning_rate": 0.12, "weight_decay": 1e-4, "warmup_epochs": 0},
    ),
}
# The second step of recipes.semi_supervised.
FINE_TUNING = {
    "finetuned_classifier": MethodRecipe(
        method=classifiers.Classifier,
        paper={**SIMCLR_V2, "learning_rate": 0.08, "weight_decay": 0.0, "warmup_epochs": 0},
        short={"learning_rate": 1e-3, "weight_decay": 0.0},
    ),
}
SELF_DISTILLATION = {
    "fst": MethodRecipe(method=distillation.FST, paper=FIXMATCH),
    "lsskd": MethodRecipe(
        method=distillation.LSSKD,
        paper=PS_KD,
    ),
    "mean_teacher": MethodRecipe(method=distillation.FST, paper=FIXMATCH, arguments={"num_virtual_steps": 0}),
    "ps_kd": MethodRecipe(
        method=distillation.PSKD,
        paper=PS_KD,
    ),
    "sla": MethodRecipe(
        method=distillation.SLA,
        paper={"optimizer": "sgd", "learning_rate": 0.2, "weight_decay": 1e-4, "warmup_epochs": 0},
    ),
    "uskd": MethodRecipe(method=distillation.USKD, paper=NKD),
}
# What learns classes from labels has a launcher of its own, recipes.classify.
CLASSIFIERS = {
    "classifier": MethodRecipe(
        method=classifiers.Classifier,
        paper={"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4, "warmup_epochs": 5},
    ),
    "palm": MethodRecipe(
        method=classifiers.PALM,
        paper={
            "optimizer": "sgd",
            "learning_rate": 0.25,
            "weight_decay": 1e-6,
            "warmup_epochs": 10,
            "options": {"nesterov": True},
        },
        short_arguments={"momentum": 0.99},
    ),
    "prob_psenn": MethodRecipe(
        method=classifiers.ProbPSENN,
        paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0},
        resnet_args={"pool": None},
        views="unaugmented",
    ),
    "proto_pnet": MethodRecipe(
        method=classifiers.ProtoPNet,
        paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-3, "warmup_epochs": 0},
        short_arguments={"prototypes_per_class": 5, "prototype_dim": 64, "warmup_epochs": 1},
        resnet_args={"pool": None},
    ),
    "prototype_dl": MethodRecipe(
        method=classifiers.PrototypeDL,
        paper={"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.0, "warmup_epochs": 0},
        # The decoder draws better from a feature map.
        resnet_args={"pool": None},
        views="unaugmented",
    ),
    "prototypical_network": MethodRecipe(
        method=classifiers.PrototypicalNetwork,
        paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0},
    ),
    "st_proto_pnet": MethodRecipe(
        method=classifiers.STProtoPNet,
        paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-3, "warmup_epochs": 0},
        short_arguments={"warmup_epochs": 1, "push_start_epoch": 10},
        resnet_args={"pool": None},
    ),
}


def byol_settings(num_updates: int) -> tuple[float, float, float]:
    """The teacher's momentum, the learning rate and the weight decay of BYOL for a length of the run."""
    return next(settings for limit, settings in BYOL_BY_UPDATES.items() if num_updates < limit)


def recipe_of(method: str) -> MethodRecipe:
    """What is known of a method, a way to distil or to fine-tune, or a classifier."""
    recipes = (METHODS, DISTILLATION, SELF_DISTILLATION, CLASSIFIERS, FINE_TUNING)
    return next(table[method] for table in recipes if method in table)
