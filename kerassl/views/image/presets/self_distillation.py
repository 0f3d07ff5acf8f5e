"""Views of self-distillation: global and local crops."""

from fractions import Fraction

from kerassl.views.image.presets import asymmetric, contrastive
from kerassl.views.image.presets.preset import CIFAR, Preset
from kerassl.views.multiview import MultiCrop


def dino_crops(split: float) -> dict:
    """The three kinds of DINO's crops: global ones of a scale above `split`, local ones below."""
    crop = {**asymmetric.LARGE, "scale": (split, 1.0)}
    return {
        "layer": MultiCrop,
        "view": {**crop, "blur_probability": 1.0},
        "second": {**crop, "blur_probability": 0.1, "solarize_probability": 0.2},
        "local": {**asymmetric.LARGE, "scale": (0.05, split), "blur_probability": 0.5},
    }


SMALL_CROPS = {
    "layer": MultiCrop,
    "view": asymmetric.PRESETS["byol_cifar"],
    "local": {**asymmetric.COLOR, "scale": (0.05, 0.4)},
    "statistics": CIFAR,
}
MSN = {**contrastive.COLOR, "blur_probability": 0.5}

PRESETS = {
    "dino": Preset(
        summary=(
            "DINO: global crops of scale .4-1, local ones of .05-.4, bicubic, jitter (.4, .4, .2, .1), "
            "gray .2; blur with probability 1 and .1 on the globals and .5 on the locals, solarize .2 on "
            "the second global."
        ),
        source="arXiv 2104.14294, section 3.2; github.com/facebookresearch/dino, main_dino.py",
        evidence="code",
        **dino_crops(0.4),
        num_local_crops=8,
        local_share=Fraction(96, 224),
        patch_size=8,
    ),
    "dino_cifar": Preset(
        summary='DINO on CIFAR: two crops as in "byol_cifar", and local ones of scale .05-.4 if asked for.',
        source="github.com/vturrisi/solo-learn, asymmetric CIFAR augmentation without local crops",
        evidence="solo-learn; the local crops are ours",
        **SMALL_CROPS,
    ),
    "ibot": Preset(
        summary='As "dino", for iBOT: global crops of scale .25-1, local ones of .05-.25 and ten of them.',
        source="arXiv 2111.07832, appendix; github.com/bytedance/ibot, README",
        evidence="code",
        **dino_crops(0.25),
        num_local_crops=10,
        local_share=Fraction(96, 224),
        patch_size=16,
    ),
    "ibot_cifar": Preset(
        summary='The crops of "dino_cifar" for iBOT and DINOv2, with local crops that the patches fit.',
        source='as "dino_cifar"',
        evidence="solo-learn; the local crops are ours",
        **SMALL_CROPS,
        patch_size=4,
    ),
    "dinov2": Preset(
        summary='DINOv2: as "dino", but global crops of scale .32-1 and local ones of .05-.32.',
        source="arXiv 2304.07193, appendix; github.com/facebookresearch/dinov2, `configs`",
        evidence="code",
        **dino_crops(0.32),
        num_local_crops=8,
        local_share=Fraction(98, 224),
        patch_size=14,
    ),
    "msn": Preset(
        summary=(
            "MSN: two crops of scale .3-1, the first for the target, focal ones of .05-.3, jitter (.4, "
            ".4, .4, .1), gray .2 and blur .5 on all."
        ),
        source="arXiv 2204.07141, section 4; github.com/facebookresearch/msn, `src/data_manager.py`",
        evidence="code",
        layer=MultiCrop,
        view={**MSN, "scale": (0.3, 1.0)},
        local={**MSN, "scale": (0.05, 0.3)},
        num_local_crops=10,
        local_share=Fraction(96, 224),
        patch_size=8,
    ),
    "msn_cifar": Preset(
        summary='MSN on CIFAR: as "msn" without blur, and with focal crops only if asked for.',
        source="the paper has no such images",
        evidence="none from a paper",
        layer=MultiCrop,
        view={**contrastive.COLOR, "scale": (0.3, 1.0)},
        local={**contrastive.COLOR, "scale": (0.05, 0.3)},
        statistics=CIFAR,
    ),
}
