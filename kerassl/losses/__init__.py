"""Pure functions of tensors: no state, no layers, no gather across devices. All compute in float32."""

from kerassl.losses.asymmetric.byol import byol
from kerassl.losses.asymmetric.negative_cosine import negative_cosine
from kerassl.losses.asymmetric.ressl import ressl
from kerassl.losses.clustering.deepcluster_v2 import deepcluster_v2
from kerassl.losses.clustering.msn import msn, msn_targets
from kerassl.losses.clustering.prior_divergence import prior_divergence
from kerassl.losses.clustering.sinkhorn import power_law_prior, sinkhorn
from kerassl.losses.clustering.smog import moved_groups, smog
from kerassl.losses.clustering.swav import swav
from kerassl.losses.clustering.twist import twist
from kerassl.losses.clustering.weighted_ensemble import weighted_ensemble
from kerassl.losses.contrastive.amcl import amcl, amcl_barlow_twins, amcl_queue
from kerassl.losses.contrastive.cacr import cacr, contrastive_attraction, contrastive_repulsion
from kerassl.losses.contrastive.dcl import dcl, dclw
from kerassl.losses.contrastive.dense_info_nce import dense_info_nce, match_cells
from kerassl.losses.contrastive.direct_clr import direct_clr
from kerassl.losses.contrastive.groco import groco
from kerassl.losses.contrastive.hard_contrastive import hard_contrastive
from kerassl.losses.contrastive.hard_negative_mixtures import hard_negative_mixtures
from kerassl.losses.contrastive.info_nce import info_nce
from kerassl.losses.contrastive.look import look
from kerassl.losses.contrastive.macl import macl
from kerassl.losses.contrastive.multi_crop_info_nce import multi_crop_info_nce
from kerassl.losses.contrastive.nt_xent import nt_xent
from kerassl.losses.contrastive.proto_nce import proto_nce
from kerassl.losses.contrastive.sogclr import log_mean_similarities, sogclr, temperature_gradients
from kerassl.losses.contrastive.sup_con import sup_con
from kerassl.losses.distillation.feature_distance import feature_distance
from kerassl.losses.distillation.kd import kd
from kerassl.losses.distillation.meal_v2 import meal_v2_discriminator
from kerassl.losses.distillation.nkd import nkd
from kerassl.losses.distillation.ps_kd import ps_kd
from kerassl.losses.distillation.pseudo_label import pseudo_label
from kerassl.losses.distillation.rkd import rkd_angle, rkd_distance
from kerassl.losses.distillation.seed import seed_distillation
from kerassl.losses.distillation.soft_cross_entropy import soft_cross_entropy
from kerassl.losses.distillation.ssld import ssld
from kerassl.losses.distillation.unfused import unfused
from kerassl.losses.distillation.uskd import uskd_non_target, uskd_target
from kerassl.losses.masked.masked_mse import masked_mse
from kerassl.losses.redundancy.barlow_twins import barlow_twins
from kerassl.losses.redundancy.emp_ssl import emp_ssl, total_coding_rate
from kerassl.losses.redundancy.feature_redundancy import feature_redundancy
from kerassl.losses.redundancy.frossl import frossl
from kerassl.losses.redundancy.mixing_regularizer import mixing_regularizer
from kerassl.losses.redundancy.mmcr import mmcr
from kerassl.losses.redundancy.msb_reg import centroid_attraction, singular_value_dispersion
from kerassl.losses.redundancy.sigreg import characteristic_function, epps_pulley, sigreg, view_invariance
from kerassl.losses.redundancy.tico import tico, tico_covariance
from kerassl.losses.redundancy.vibcreg import off_diagonal_correlation, vibcreg
from kerassl.losses.redundancy.vicreg import off_diagonal_covariance, variance_hinge, vicreg
from kerassl.losses.redundancy.vicregl import matched_cells, vicregl_local
from kerassl.losses.redundancy.visreg import visreg
from kerassl.losses.redundancy.wmse import whiten, wmse
from kerassl.losses.self_distillation.dino import dino, dino_teacher_probs
from kerassl.losses.self_distillation.ibot import ibot
from kerassl.losses.self_distillation.koleo import koleo
from kerassl.losses.self_distillation.poa import poa
from kerassl.losses.supervised.cross_entropy import cross_entropy
from kerassl.losses.supervised.palm import mixture_weights, moved_prototypes, nearest_of_class, palm
from kerassl.losses.supervised.prob_psenn import prototype_nll
from kerassl.losses.supervised.proto_pnet import cluster_cost, separation_cost
from kerassl.losses.supervised.prototype_dl import nearest_image, nearest_prototype
from kerassl.losses.supervised.prototypical import class_means, prototypical
from kerassl.losses.supervised.st_proto_pnet import (
    prototype_closeness,
    prototype_discrimination,
    prototype_orthogonality,
)

__all__ = [
    "amcl",
    "amcl_barlow_twins",
    "amcl_queue",
    "barlow_twins",
    "byol",
    "cacr",
    "centroid_attraction",
    "characteristic_function",
    "class_means",
    "cluster_cost",
    "contrastive_attraction",
    "contrastive_repulsion",
    "cross_entropy",
    "dcl",
    "dclw",
    "deepcluster_v2",
    "dense_info_nce",
    "dino",
    "dino_teacher_probs",
    "direct_clr",
    "emp_ssl",
    "epps_pulley",
    "feature_distance",
    "feature_redundancy",
    "frossl",
    "groco",
    "hard_contrastive",
    "hard_negative_mixtures",
    "ibot",
    "info_nce",
    "kd",
    "koleo",
    "log_mean_similarities",
    "look",
    "macl",
    "masked_mse",
    "match_cells",
    "matched_cells",
    "meal_v2_discriminator",
    "mixing_regularizer",
    "mixture_weights",
    "mmcr",
    "moved_groups",
    "moved_prototypes",
    "msn",
    "msn_targets",
    "multi_crop_info_nce",
    "nearest_image",
    "nearest_of_class",
    "nearest_prototype",
    "negative_cosine",
    "nkd",
    "nt_xent",
    "off_diagonal_correlation",
    "off_diagonal_covariance",
    "palm",
    "poa",
    "power_law_prior",
    "prior_divergence",
    "proto_nce",
    "prototype_closeness",
    "prototype_discrimination",
    "prototype_nll",
    "prototype_orthogonality",
    "prototypical",
    "ps_kd",
    "pseudo_label",
    "ressl",
    "rkd_angle",
    "rkd_distance",
    "seed_distillation",
    "separation_cost",
    "sigreg",
    "singular_value_dispersion",
    "sinkhorn",
    "smog",
    "soft_cross_entropy",
    "sogclr",
    "ssld",
    "sup_con",
    "swav",
    "temperature_gradients",
    "tico",
    "tico_covariance",
    "total_coding_rate",
    "twist",
    "unfused",
    "uskd_non_target",
    "uskd_target",
    "variance_hinge",
    "vibcreg",
    "vicreg",
    "vicregl_local",
    "view_invariance",
    "visreg",
    "weighted_ensemble",
    "whiten",
    "wmse",
]


def __dir__() -> list[str]:
    return sorted(__all__)
