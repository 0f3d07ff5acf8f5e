"""Views of masked modeling."""

from kerassl.views.image.presets.general import DIGITS_VIEW
from kerassl.views.image.presets.preset import DIGITS, Preset
from kerassl.views.masks import MaskedView

PRESETS = {
    "mae": Preset(
        summary="MAE: crop .2-1 bicubic and flip, and a random permutation of the patches.",
        source="arXiv 2111.06377, appendix A.1; github.com/facebookresearch/mae",
        evidence="code",
        layer=MaskedView,
        view={"scale": (0.2, 1.0), "interpolation": "bicubic"},
    ),
    "mae_digits": Preset(
        summary="The view of digits, and a random permutation of the patches.",
        source="ours",
        evidence="none from a paper",
        layer=MaskedView,
        view=DIGITS_VIEW,
        statistics=DIGITS,
    ),
}
