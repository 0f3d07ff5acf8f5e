"""Augmentations in `keras.ops` that run inside the compiled train step, one draw per sample."""

from kerassl.views.base import Augmentation
from kerassl.views.blur import GaussianBlur
from kerassl.views.color import ColorJitter, RandomGrayscale, Solarize
from kerassl.views.compose import Compose
from kerassl.views.crop import RandomHorizontalFlip, RandomResizedCrop
from kerassl.views.gallery import gallery
from kerassl.views.located import LocatedViews, cell_centers
from kerassl.views.low_frequency import LowFrequency
from kerassl.views.masked_crops import MaskedCrops, block_masks
from kerassl.views.masks import MaskedView, RandomPatchMask, random_patch_permutation
from kerassl.views.mixing import mix_views
from kerassl.views.multiview import MultiCrop, TwoViews, several_views
from kerassl.views.preprocess import (
    CIFAR_MEAN,
    CIFAR_STD,
    DIGITS_MEAN,
    DIGITS_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Normalize,
    Preprocess,
)
from kerassl.views.pretext import color_permutations, distant_permutations, nine_pieces, quarter_turns
from kerassl.views.recipes import (
    RECIPES,
    barlow_twins,
    barlow_twins_cifar,
    byol,
    byol_cifar,
    crop_flip,
    digits,
    dino,
    dino_cifar,
    dinov2,
    emp_ssl,
    groco,
    ibot,
    ibot_cifar,
    lejepa,
    mae,
    moco_cifar,
    moco_v2,
    recipe,
    ressl,
    ressl_cifar,
    ressl_digits,
    simclr_cifar,
    simclr_imagenet,
    supcon_cifar,
    unaugmented,
    vicreg_cifar,
    wmse_cifar,
)
from kerassl.views.styles import BatchStyles
from kerassl.views.view import View

__all__ = [
    "CIFAR_MEAN",
    "CIFAR_STD",
    "DIGITS_MEAN",
    "DIGITS_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "RECIPES",
    "Augmentation",
    "BatchStyles",
    "ColorJitter",
    "Compose",
    "GaussianBlur",
    "LocatedViews",
    "LowFrequency",
    "MaskedCrops",
    "MaskedView",
    "MultiCrop",
    "Normalize",
    "Preprocess",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomPatchMask",
    "RandomResizedCrop",
    "Solarize",
    "TwoViews",
    "View",
    "barlow_twins",
    "barlow_twins_cifar",
    "block_masks",
    "byol",
    "byol_cifar",
    "cell_centers",
    "color_permutations",
    "crop_flip",
    "digits",
    "dino",
    "dino_cifar",
    "dinov2",
    "distant_permutations",
    "emp_ssl",
    "gallery",
    "groco",
    "ibot",
    "ibot_cifar",
    "lejepa",
    "mae",
    "mix_views",
    "moco_cifar",
    "moco_v2",
    "nine_pieces",
    "quarter_turns",
    "random_patch_permutation",
    "recipe",
    "ressl",
    "ressl_cifar",
    "ressl_digits",
    "several_views",
    "simclr_cifar",
    "simclr_imagenet",
    "supcon_cifar",
    "unaugmented",
    "vicreg_cifar",
    "wmse_cifar",
]
