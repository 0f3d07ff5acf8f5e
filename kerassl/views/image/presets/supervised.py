"""Views of methods that learn from labels."""

from kerassl.views.image.presets import contrastive
from kerassl.views.image.presets.preset import CIFAR, Preset

PRESETS = {
    "supcon_cifar": Preset(
        summary="SupCon on CIFAR: crop .2-1, jitter (.4, .4, .4, .1), gray .2, no blur.",
        source="arXiv 2004.11362; github.com/HobbitLong/SupContrast",
        evidence="code",
        view={"scale": (0.2, 1.0), **contrastive.COLOR},
        statistics=CIFAR,
    ),
}
