"""Views in `keras.ops` that run inside the compiled train step, one draw per sample."""

from kerassl.views.base import Views
from kerassl.views.gallery import gallery
from kerassl.views.image.base import Augmentation
from kerassl.views.image.batch import BatchAugmentation
from kerassl.views.image.blur import GaussianBlur
from kerassl.views.image.color import ColorJitter, RandomGrayscale, Solarize
from kerassl.views.image.compose import Compose
from kerassl.views.image.crop import RandomHorizontalFlip, RandomResizedCrop
from kerassl.views.image.fused import FusedAugmentation
from kerassl.views.image.input_format import InputFormat
from kerassl.views.image.located import LocatedViews, cell_centers
from kerassl.views.image.low_frequency import LowFrequency
from kerassl.views.image.preprocess import (
    CIFAR_MEAN,
    CIFAR_STD,
    DIGITS_MEAN,
    DIGITS_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Normalize,
    Preprocess,
    image_statistics,
    preprocessing_of,
)
from kerassl.views.image.presets import PRESETS, preset
from kerassl.views.image.presets.preset import Preset
from kerassl.views.image.pretext import (
    color_permutations,
    distant_permutations,
    nine_pieces,
    quarter_turns,
)
from kerassl.views.image.styles import BatchStyles
from kerassl.views.image.views import ImageViews
from kerassl.views.masked_crops import MaskedCrops, block_masks
from kerassl.views.masks import MaskedView, RandomPatchMask, random_patch_permutation
from kerassl.views.mixing import mix_views
from kerassl.views.multiview import MultiCrop, OneView, TwoViews, several_views

__all__ = [
    "CIFAR_MEAN",
    "CIFAR_STD",
    "DIGITS_MEAN",
    "DIGITS_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "PRESETS",
    "Augmentation",
    "BatchAugmentation",
    "BatchStyles",
    "ColorJitter",
    "Compose",
    "FusedAugmentation",
    "GaussianBlur",
    "ImageViews",
    "InputFormat",
    "LocatedViews",
    "LowFrequency",
    "MaskedCrops",
    "MaskedView",
    "MultiCrop",
    "Normalize",
    "OneView",
    "Preprocess",
    "Preset",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomPatchMask",
    "RandomResizedCrop",
    "Solarize",
    "TwoViews",
    "Views",
    "block_masks",
    "cell_centers",
    "color_permutations",
    "distant_permutations",
    "gallery",
    "image_statistics",
    "mix_views",
    "nine_pieces",
    "preprocessing_of",
    "preset",
    "quarter_turns",
    "random_patch_permutation",
    "several_views",
]


def __dir__() -> list[str]:
    return sorted(__all__)
