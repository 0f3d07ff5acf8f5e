"""The papers' augmentation settings, a table a family, and the builder of their views layers."""

import difflib
from typing import Any

from kerassl.views.base import Views
from kerassl.views.image.base import VALUE_RANGE
from kerassl.views.image.preprocess import Statistic
from kerassl.views.image.presets import (
    asymmetric,
    clustering,
    contrastive,
    distillation,
    general,
    masked,
    redundancy,
    self_distillation,
    supervised,
)
from kerassl.views.image.presets.preset import Preset

PRESETS: dict[str, Preset] = {
    **contrastive.PRESETS,
    **asymmetric.PRESETS,
    **redundancy.PRESETS,
    **clustering.PRESETS,
    **self_distillation.PRESETS,
    **masked.PRESETS,
    **distillation.PRESETS,
    **supervised.PRESETS,
    **general.PRESETS,
}


def preset(
    name: str,
    size: int | tuple[int, int],
    channels: int = 3,
    *,
    mean: Statistic = None,
    std: Statistic = None,
    value_range: tuple[float, float] = VALUE_RANGE,
    **changes: Any,
) -> Views:
    """Returns the views layer of a named preset, such as "simclr_cifar"; `PRESETS` holds all.

    Args:
        name: a name of `kerassl.views.PRESETS`.
        size: height and width of the (global) views in pixels, an integer or a pair.
        channels: channels of the images.
        mean: a number or one per channel, for images in [0, 1]; `None` takes that of the preset.
        std: the same.
        value_range: values of black and white in raw images; mean and std are those of images scaled from it
            to [0, 1].
        **changes: settings of `FusedAugmentation` to change in all views (`scale` in the global ones); for
            crops of two sizes also `num_local_crops`, `num_global_crops`, `local_size` and `patch_size` in
            pixels, and `local_scale`; for "mae" `num_patches`, which it needs.

    Raises:
        ValueError: for an unknown name, with the nearest known one, or an unknown change.

    Example:
        >>> from kerassl.views import preset
        >>> preset("dino", (32, 48), num_local_crops=4).num_views
        6
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(str(name), PRESETS, n=1, cutoff=0.0)[0]
        raise ValueError(f"Unknown preset {name!r}; did you mean {near!r}? Known: {', '.join(PRESETS)}.")
    return PRESETS[name].build(size, channels, mean=mean, std=std, value_range=value_range, **changes)
