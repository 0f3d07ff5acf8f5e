"""Pure functions of tensors: no state, no layers, no gather across devices. All compute in float32."""

from kerassl.losses.amcl import amcl, amcl_barlow_twins, amcl_queue
from kerassl.losses.barlow_twins import barlow_twins
from kerassl.losses.byol import byol
from kerassl.losses.cacr import cacr, contrastive_attraction, contrastive_repulsion
from kerassl.losses.cross_entropy import cross_entropy
from kerassl.losses.dcl import dcl, dclw
from kerassl.losses.deepcluster_v2 import deepcluster_v2
from kerassl.losses.dense_info_nce import dense_info_nce, match_cells
from kerassl.losses.dino import dino, dino_teacher_probs
from kerassl.losses.direct_clr import direct_clr
from kerassl.losses.emp_ssl import emp_ssl, total_coding_rate
from kerassl.losses.feature_distance import feature_distance
from kerassl.losses.feature_redundancy import feature_redundancy
from kerassl.losses.frossl import frossl
from kerassl.losses.groco import groco
from kerassl.losses.hard_contrastive import hard_contrastive
from kerassl.losses.hard_negative_mixtures import hard_negative_mixtures
from kerassl.losses.ibot import ibot
from kerassl.losses.info_nce import info_nce
from kerassl.losses.kd import kd
from kerassl.losses.koleo import koleo
from kerassl.losses.look import look
from kerassl.losses.masked_mse import masked_mse
from kerassl.losses.meal_v2 import meal_v2_discriminator
from kerassl.losses.mixing_regularizer import mixing_regularizer
from kerassl.losses.mmcr import mmcr
from kerassl.losses.msb_reg import centroid_attraction, singular_value_dispersion
from kerassl.losses.msn import msn, msn_targets
from kerassl.losses.multi_crop_info_nce import multi_crop_info_nce
from kerassl.losses.negative_cosine import negative_cosine
from kerassl.losses.nkd import nkd
from kerassl.losses.nt_xent import nt_xent
from kerassl.losses.palm import mixture_weights, moved_prototypes, palm
from kerassl.losses.poa import poa
from kerassl.losses.prior_divergence import prior_divergence
from kerassl.losses.prob_psenn import prototype_nll
from kerassl.losses.proto_nce import proto_nce
from kerassl.losses.proto_pnet import cluster_cost, separation_cost
from kerassl.losses.prototype_dl import nearest_image, nearest_prototype
from kerassl.losses.prototypical import class_means, prototypical
from kerassl.losses.ps_kd import ps_kd
from kerassl.losses.pseudo_label import pseudo_label
from kerassl.losses.ressl import ressl
from kerassl.losses.rkd import rkd_angle, rkd_distance
from kerassl.losses.seed import seed
from kerassl.losses.sigreg import characteristic_function, epps_pulley, sigreg, view_invariance
from kerassl.losses.sinkhorn import power_law_prior, sinkhorn
from kerassl.losses.smog import moved_groups, smog
from kerassl.losses.soft_cross_entropy import soft_cross_entropy
from kerassl.losses.sogclr import log_mean_similarities, sogclr, temperature_gradients
from kerassl.losses.ssld import ssld
from kerassl.losses.st_proto_pnet import (
    prototype_closeness,
    prototype_discrimination,
    prototype_orthogonality,
)
from kerassl.losses.sup_con import sup_con
from kerassl.losses.swav import swav
from kerassl.losses.tico import tico, tico_covariance
from kerassl.losses.unfused import unfused
from kerassl.losses.uskd import uskd_non_target, uskd_target
from kerassl.losses.vibcreg import off_diagonal_correlation, vibcreg
from kerassl.losses.vicreg import off_diagonal_covariance, variance_hinge, vicreg
from kerassl.losses.vicregl import matched_cells, vicregl_local
from kerassl.losses.visreg import visreg
from kerassl.losses.weighted_ensemble import weighted_ensemble
from kerassl.losses.wmse import whiten, wmse

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
    "seed",
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
