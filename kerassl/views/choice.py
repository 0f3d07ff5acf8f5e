"""The views layer that a method's `views` argument means."""

import keras

from kerassl.views.multiview import several_views
from kerassl.views.recipes import recipe

SMALL_IMAGE_SIZE = 64


def choose_views(
    views: tuple | None,
    default_views: tuple[str, str],
    encoder: keras.Model,
    num_views: int,
    options: dict,
) -> keras.layers.Layer | None:
    """The views layer that a constructor's `views` argument means; `None` stays `None`."""
    if views is None or isinstance(views, keras.layers.Layer):
        return views
    if not isinstance(views, str):
        raise ValueError(
            f"views must be 'default', a recipe's name, a kerassl.views layer or None, not {views!r}."
        )
    shape = encoder.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:] or shape[1] != shape[2]:
        raise ValueError(
            f"views={views!r} needs an encoder with a square fixed input shape to know the size of a view; "
            f"this one has {shape}. Pass views=kerassl.views.recipe(name, image_size, channels)."
        )
    size, channels = shape[1], shape[3]
    if views == "default":
        views = default_views[0] if size <= SMALL_IMAGE_SIZE else default_views[1]
    layer = recipe(views, size, channels, **options)
    return layer if num_views == 2 else several_views(layer, num_views)
