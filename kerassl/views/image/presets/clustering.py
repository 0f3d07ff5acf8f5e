"""Views of clustering methods."""

from fractions import Fraction

from kerassl.views.image.presets import contrastive
from kerassl.views.image.presets.preset import CIFAR, Preset, jitter
from kerassl.views.multiview import MultiCrop

SWAV = {**jitter(0.8, 0.8, 0.8, 0.2), "grayscale_probability": 0.2, "blur_probability": 0.5}

PRESETS = {
    "swav": Preset(
        summary=(
            "SwAV: global crops of scale .14-1, local ones of .05-.14, jitter (.8, .8, .8, .2), gray .2, "
            "blur .5."
        ),
        source="arXiv 2006.09882, section 3.2; github.com/facebookresearch/swav, `src/multicropdataset.py`",
        evidence="code",
        layer=MultiCrop,
        view={**SWAV, "scale": (0.14, 1.0)},
        local={**SWAV, "scale": (0.05, 0.14)},
        num_local_crops=6,
        local_share=Fraction(96, 224),
    ),
    "swav_cifar": Preset(
        summary=(
            'SwAV on CIFAR: two crops as in "simclr_cifar", and local ones of scale .05-.14 if asked for.'
        ),
        source="the paper has no such images; the local crops are of its scale",
        evidence="none from a paper",
        layer=MultiCrop,
        view=contrastive.PRESETS["simclr_cifar"],
        local={**contrastive.COLOR, "scale": (0.05, 0.14)},
        statistics=CIFAR,
    ),
    "seer": Preset(
        summary=(
            'SEER: as "swav", with 4 local crops of 96 / 160 of the size of the global ones, which are of '
            "160 pixels."
        ),
        source="arXiv 2103.01988; github.com/facebookresearch/vissl, `configs/config/pretrain/seer`",
        evidence="code",
        layer=MultiCrop,
        view={**SWAV, "scale": (0.14, 1.0)},
        local={**SWAV, "scale": (0.05, 0.14)},
        num_local_crops=4,
        local_share=Fraction(96, 160),
    ),
}
