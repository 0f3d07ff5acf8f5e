"""Views of distillation from trained networks."""

from kerassl.views.image.presets.preset import SMALL, Preset
from kerassl.views.multiview import OneView

PRESETS = {
    "crop_flip": Preset(
        summary="One view for distillation: crop .08-1 and flip, nothing else.",
        source=(
            "arXiv 2103.05959, whose students see the usual crops of supervised training; "
            "github.com/PaddlePaddle/PaddleClas adds AutoAugment for large students"
        ),
        evidence="code",
        layer=OneView,
        view={},
        statistics=SMALL,
    ),
    "unaugmented": Preset(
        summary="The whole image as it is, for methods that need no augmentation.",
        source="arXiv 2302.12091, whose students and teachers see the same images",
        evidence="code",
        layer=OneView,
        view={"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "flip": 0.0},
        statistics=SMALL,
    ),
}
