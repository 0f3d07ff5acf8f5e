"""Views of contrastive methods."""

from kerassl.views.image.presets.preset import CIFAR, Preset, jitter

COLOR = {**jitter(0.4, 0.4, 0.4, 0.1), "grayscale_probability": 0.2}
ASYMMETRIC = {**jitter(0.4, 0.4, 0.2, 0.1), "grayscale_probability": 0.2}
GROCO = {**ASYMMETRIC, "scale": (0.14, 1.0), "interpolation": "bicubic"}

PRESETS = {
    "simclr_cifar": Preset(
        summary="SimCLR on CIFAR: crop .08-1, jitter (.4, .4, .4, .1), gray .2, no blur.",
        source="arXiv 2002.05709, appendix B.9 (strength 0.5); github.com/google-research/simclr",
        evidence="code",
        view=COLOR,
        statistics=CIFAR,
    ),
    "simclr_imagenet": Preset(
        summary="SimCLR on ImageNet: crop .08-1 bicubic, jitter (.8, .8, .8, .2), gray .2, blur .5.",
        source="arXiv 2002.05709, appendix A; github.com/google-research/simclr",
        evidence="code; its jitter draws the order of the four changes",
        view={
            **jitter(0.8, 0.8, 0.8, 0.2),
            "grayscale_probability": 0.2,
            "blur_probability": 0.5,
            "interpolation": "bicubic",
        },
    ),
    "moco_v2": Preset(
        summary="MoCo v2 and SimSiam on ImageNet: crop .2-1, jitter (.4, .4, .4, .1), gray .2, blur .5.",
        source="arXiv 2003.04297, section 3; github.com/facebookresearch/moco",
        evidence="code",
        view={"scale": (0.2, 1.0), **COLOR, "blur_probability": 0.5},
    ),
    "moco_cifar": Preset(
        summary="MoCo on CIFAR: crop .08-1, jitter (.4, .4, .4, .1), gray .2, no blur.",
        source="the CIFAR demo of github.com/facebookresearch/moco",
        evidence="code; its std (.2023, .1994, .2010) is replaced by the pixels' true one",
        view=COLOR,
        statistics=CIFAR,
    ),
    "sogclr": Preset(
        summary="SogCLR on ImageNet: crop .08-1, jitter (.4, .4, .2, .1), gray .2, blur always.",
        source="arXiv 2202.12387; github.com/Optimization-AI/SogCLR",
        evidence="code",
        view={**ASYMMETRIC, "blur_probability": 1.0},
    ),
    "groco": Preset(
        summary='GroCo on ImageNet: crop .14-1 bicubic, else as "byol".',
        source="arXiv 2301.02009; github.com/ninatu/learning_by_sorting, `transforms.py`",
        evidence="code",
        view={**GROCO, "blur_probability": 1.0},
        second={**GROCO, "blur_probability": 0.1, "solarize_probability": 0.2},
    ),
}
