"""Views of kinds of images, for any method."""

from kerassl.views.image.presets.preset import DIGITS, Preset

DIGITS_VIEW = {
    "scale": (0.5, 1.0),
    "ratio": (2 / 3, 3 / 2),
    "flip": 0.0,
    "brightness": 0.4,
    "contrast": 0.4,
    "blur_probability": 0.3,
    "blur_sigma": (0.1, 0.7),
}

PRESETS = {
    "digits": Preset(
        summary=(
            "Small images of digits: crop .5-1, light jitter of brightness and contrast, some blur, no "
            "flip: a mirrored digit is another digit, or none."
        ),
        source="ours",
        evidence="none from a paper",
        view=DIGITS_VIEW,
        statistics=DIGITS,
    ),
}
