"""What a preset of views of images is, and the layer that it becomes."""

import dataclasses
import inspect
from fractions import Fraction
from typing import Any, NamedTuple

from kerassl.views.base import Views
from kerassl.views.image.base import VALUE_RANGE, check_size
from kerassl.views.image.fused import FusedAugmentation
from kerassl.views.image.preprocess import (
    CIFAR_MEAN,
    CIFAR_STD,
    DIGITS_MEAN,
    DIGITS_STD,
    Statistic,
)
from kerassl.views.masks import MaskedView
from kerassl.views.multiview import MultiCrop, OneView, TwoViews

# What a change may set in all views: the arguments of `FusedAugmentation` that the builder has no name for.
SETTINGS = tuple(
    name
    for name in inspect.signature(FusedAugmentation).parameters
    if name not in ("size", "mean", "std", "value_range", "kwargs")
)
# Images up to this height and width in pixels are small: they are seen as CIFAR's are.
SMALL_IMAGE_SIZE = 64


class Statistics(NamedTuple):
    """Mean and standard deviation of a data set's channels, for images of as many channels.

    Attributes:
        mean: one per channel, of images in [0, 1].
        std: the same.
        largest: height and width in pixels up to which images have them; `None` for all.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    largest: int | None = None

    def fit(self, size: tuple[int, int], channels: int) -> bool:
        """Says whether images have these statistics."""
        return channels == len(self.mean) and (self.largest is None or max(size) <= self.largest)


CIFAR = Statistics(CIFAR_MEAN, CIFAR_STD)
SMALL = Statistics(CIFAR_MEAN, CIFAR_STD, SMALL_IMAGE_SIZE)
DIGITS = Statistics(DIGITS_MEAN, DIGITS_STD)


def jitter(brightness: float, contrast: float, saturation: float, hue: float) -> dict[str, float]:
    """The settings of a color jitter of four strengths."""
    return {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}


@dataclasses.dataclass(frozen=True)
class Preset:
    """The views of a paper, as settings of `FusedAugmentation`.

    Attributes:
        summary: what the views are.
        source: the paper and the code.
        evidence: "code" for the authors' repository, "solo-learn" for its CIFAR configurations, and what
            differs from them.
        view: settings of the first view, or another preset, whose first two views these are.
        second: settings of the second view; `None` for those of the first, or of the other preset's second.
        layer: what holds the views: `OneView`, `TwoViews`, `MultiCrop` or `MaskedView`.
        statistics: the normalization where the images have it; `None` for that of `Normalize`.
        local: settings of the local crops of `MultiCrop`.
        num_local_crops: their number.
        local_share: their height over that of the image, and their width over its width.
        patch_size: pixels of which their sides are multiples; `None` for any.
        num_global_crops: number of global crops, the first view as often as the second or once more.
    """

    summary: str
    source: str
    evidence: str
    view: "dict[str, Any] | Preset"
    second: dict[str, Any] | None = None
    layer: type[Views] = TwoViews
    statistics: Statistics | None = None
    local: dict[str, Any] | None = None
    num_local_crops: int = 0
    local_share: Fraction = Fraction(1, 2)
    patch_size: int | None = None
    num_global_crops: int = 2

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the arguments that `build` takes beside the settings of its views."""
        crops = ("num_local_crops", "num_global_crops", "local_size", "local_scale", "patch_size")
        return {MultiCrop: crops, MaskedView: ("num_patches",)}.get(self.layer, ())

    def build(
        self,
        size: int | tuple[int, int],
        channels: int = 3,
        *,
        mean: Statistic = None,
        std: Statistic = None,
        value_range: tuple[float, float] = VALUE_RANGE,
        **changes: Any,
    ) -> Views:
        """Returns the views layer; the arguments are those of `kerassl.views.preset`."""
        size = check_size(size)
        options = {name: changes.pop(name) for name in self.options if name in changes}
        unknown = sorted(set(changes) - set(SETTINGS))
        if unknown:
            known = [*self.options, *SETTINGS]
            raise ValueError(f"Views of this kind have no setting {unknown[0]!r}. Known: {', '.join(known)}.")
        common = {"value_range": value_range, **changes}
        if self.statistics is not None and self.statistics.fit(size, channels):
            common |= {"mean": self.statistics.mean, "std": self.statistics.std}
        common |= {name: given for name, given in (("mean", mean), ("std", std)) if given is not None}

        if isinstance(self.view, Preset):
            others = self.view.build(size, channels, **common)
            view, second = others.view1, others.view2
        else:
            view, second = FusedAugmentation(size, **{**self.view, **common}), None
        if self.layer is OneView:
            return OneView(view)
        if self.layer is MaskedView:
            if "num_patches" not in options:
                raise ValueError("Masked views need num_patches, the patches of a view: rows times columns.")
            return MaskedView(view, **options)
        if self.second is not None:
            second = FusedAugmentation(size, **{**self.second, **common})
        if self.layer is TwoViews:
            return TwoViews(view, second)
        return self._crops(size, view, second or view, common, **options)

    def _crops(
        self,
        size: tuple[int, int],
        view: FusedAugmentation,
        second: FusedAugmentation,
        common: dict,
        num_local_crops: int | None = None,
        num_global_crops: int | None = None,
        local_size: int | tuple[int, int] | None = None,
        local_scale: tuple[float, float] | None = None,
        patch_size: int | None = None,
    ) -> MultiCrop:
        num_local = self.num_local_crops if num_local_crops is None else num_local_crops
        num_global = self.num_global_crops if num_global_crops is None else num_global_crops
        if local_size is None:
            local_size = tuple(self._local_side(side, patch_size or self.patch_size) for side in size)
        # A change of the crops' scale is one of the global ones.
        scale = {"scale": self.local["scale"] if local_scale is None else local_scale}
        local = FusedAugmentation(local_size, **{**self.local, **common, **scale})
        num_second = num_global // 2
        return MultiCrop([view] * (num_global - num_second) + [second] * num_second, [local] * num_local)

    def _local_side(self, side: int, patch_size: int | None) -> int:
        if patch_size is None and self.local_share == Fraction(1, 2):
            return max(1, side // 2)
        patch_size = patch_size or 1
        return max(1, round(side * self.local_share / patch_size)) * patch_size
