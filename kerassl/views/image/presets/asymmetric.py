"""Views of methods whose two branches differ."""

from kerassl.views.image.presets import contrastive, general
from kerassl.views.image.presets.preset import CIFAR, DIGITS, Preset, jitter

COLOR = {**jitter(0.4, 0.4, 0.2, 0.1), "grayscale_probability": 0.2}
LARGE = {**COLOR, "interpolation": "bicubic"}

PRESETS = {
    "byol": Preset(
        summary=(
            "BYOL on ImageNet: crop .08-1 bicubic, jitter (.4, .4, .2, .1), gray .2, blur 1 / .1, "
            "solarize 0 / .2."
        ),
        source="arXiv 2006.07733, table 6; github.com/google-deepmind/deepmind-research, byol",
        evidence="code",
        view={**LARGE, "blur_probability": 1.0},
        second={**LARGE, "blur_probability": 0.1, "solarize_probability": 0.2},
    ),
    "byol_cifar": Preset(
        summary="BYOL on CIFAR: crop .08-1, jitter (.4, .4, .2, .1), gray .2, no blur, solarize 0 / .2.",
        source="github.com/vturrisi/solo-learn, asymmetric CIFAR augmentation",
        evidence="solo-learn",
        view=COLOR,
        second={**COLOR, "solarize_probability": 0.2},
        statistics=CIFAR,
    ),
    "ressl": Preset(
        summary=(
            'ReSSL on ImageNet: the view of "moco_v2" for the student, crop .2-1 and flip for the teacher.'
        ),
        source="arXiv 2107.09282, section 4; github.com/KyleZheng1997/ReSSL",
        evidence="code",
        view=contrastive.PRESETS["moco_v2"],
        second={"scale": (0.2, 1.0)},
    ),
    "ressl_cifar": Preset(
        summary=(
            "ReSSL on CIFAR: crop .08-1, jitter (.4, .4, .2, .1), gray .2, blur .5; crop and flip for the "
            "teacher."
        ),
        source="github.com/vturrisi/solo-learn, ReSSL CIFAR augmentation",
        evidence="solo-learn, whose blur is not cut off after one pixel on each side, and so is stronger",
        view={**COLOR, "blur_probability": 0.5},
        second={},
        statistics=CIFAR,
    ),
    "ressl_digits": Preset(
        summary=(
            'ReSSL on small images of digits: the view of "digits" for the student, its crop for the teacher.'
        ),
        source="ours",
        evidence="none from a paper",
        view=general.PRESETS["digits"],
        second={name: general.DIGITS_VIEW[name] for name in ("scale", "ratio", "flip")},
        statistics=DIGITS,
    ),
}
