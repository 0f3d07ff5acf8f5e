"""The views layer that a method's `views` argument means."""

from collections.abc import Callable
from typing import Any

import keras

from kerassl.views.base import Views
from kerassl.views.image.base import Augmentation
from kerassl.views.image.batch import BatchAugmentation
from kerassl.views.image.presets import PRESETS, preset
from kerassl.views.image.presets.preset import SMALL_IMAGE_SIZE
from kerassl.views.masks import MaskedView
from kerassl.views.multiview import MultiCrop, OneView, TwoViews, several_views


def choose_views(
    views: str | keras.layers.Layer | Callable | None,
    default_views: tuple[str, str],
    encoder: keras.Model,
    num_views: int,
    options: dict,
) -> keras.layers.Layer | None:
    """Returns the views layer that a constructor's `views` argument means; `None` stays `None`.

    Args:
        views: "default", a name of `kerassl.views.PRESETS`, a `Views` layer, a layer of single views such as
            `FusedAugmentation`, any other Keras layer or function of a batch of images, or `None`.
        default_views: names of the method's presets, for images of up to 64 pixels and above.
        encoder: the network that takes the views. Its attributes `input_mean`, `input_std` and
            `input_value_range`, if it has them, take the place of a preset's.
        num_views: views of each image that the method takes.
        options: arguments of the preset.

    Raises:
        ValueError: for anything else, an unknown name, or an encoder whose input shape does not say the size
            of its images.
    """
    if views is None or isinstance(views, Views):
        return views
    if isinstance(views, str):
        size, channels = _image_shape(encoder, f"views={views!r} makes views of images")
        if views == "default":
            views = default_views[0] if max(size) <= SMALL_IMAGE_SIZE else default_views[1]
        layer = preset(views, size, channels, **{**input_statistics(encoder), **options})
        return layer if num_views == 2 else several_views(layer, num_views)
    if isinstance(views, Augmentation) and hasattr(views, "preprocess"):
        return OneView(views)
    if isinstance(views, keras.layers.Layer) and hasattr(views, "preprocess"):
        return views
    if callable(views):
        size, _ = _image_shape(encoder, "A layer or function that makes no tuple of views augments images")
        view = BatchAugmentation(views, size, **input_statistics(encoder))
        return _like_default(view, default_views[0], num_views, options)
    raise ValueError(
        "views must be 'default', the name of a preset, a kerassl.views layer, a Keras layer or function of "
        f"a batch of images, or None; got {views!r}."
    )


def input_statistics(encoder: keras.Model) -> dict[str, Any]:
    """Returns `mean`, `std` and `value_range` of an encoder's images, where it carries them."""
    found = {name: getattr(encoder, f"input_{name}", None) for name in ("mean", "std", "value_range")}
    return {name: value for name, value in found.items() if value is not None}


def _image_shape(encoder: keras.Model, what: str) -> tuple[tuple[int, int], int]:
    shape = encoder.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ValueError(
            f"{what}, but this encoder takes inputs of shape {shape}. Pass views= a layer for your inputs, a "
            "subclass of kerassl.views.Views that writes `augment(inputs, seed)`, or views=None for data "
            "that holds the views."
        )
    if None in shape[1:]:
        raise ValueError(
            f"{what}, whose size the encoder's fixed input shape must say; got {shape}. Pass "
            "views=kerassl.views.preset(name, size, channels)."
        )
    return tuple(shape[1:3]), shape[3]


def _like_default(view: BatchAugmentation, default: str, num_views: int, options: dict) -> Views:
    """As many views by one layer as a method's default preset makes."""
    if num_views != 2:
        return several_views(TwoViews(view), num_views)
    layer = PRESETS[default].layer if default in PRESETS else TwoViews
    if layer is MaskedView:
        return MaskedView(view, **options)
    if layer is MultiCrop:
        return MultiCrop([view, view])
    return layer(view)
