"""Encoders, views and methods from names."""

import keras

import kerassl
from kerassl.views.image.presets.preset import SMALL_IMAGE_SIZE

from .names import BACKBONES, Method, check_arguments, check_name

# Up to so many pixels an image gets a narrower network: there is less to see in it.
TINY_IMAGE_SIZE = 16


def make_encoder(backbone: str, image_shape: tuple, width: int | None, backbone_args: dict) -> keras.Model:
    """An encoder of a named architecture that suits the size of the images.

    Args:
        backbone: a name of `recipes.names.BACKBONES`.
        image_shape: (height, width, channels).
        width: channels of a ResNet's first stage or of a ScatNet's last, or width of a ViT's tokens; `None`
            for the usual one.
        backbone_args: further arguments of the `kerassl.backbones` function.

    Raises:
        ValueError: for an unknown name or images that are not square.
    """
    check_name("backbone", backbone, BACKBONES)
    height, image_width, _ = image_shape
    if height != image_width:
        raise ValueError(
            f"The images are {height} x {image_width} pixels; pass --image_size to make them square."
        )
    if backbone.startswith("vit"):
        defaults = {
            "size": backbone.removeprefix("vit_"),
            "patch_size": patch_size(height),
            "hidden_dim": width,
        }
    elif backbone == "scatnet":
        defaults = {"width": width} if width else {}
    else:
        small = height <= SMALL_IMAGE_SIZE
        defaults = {
            "stem": "small" if small else "standard",
            "width": width or default_width(height),
            # With zeros, an untrained network sees one pixel in eight, which on a tiny image is nearly none.
            "zero_init_residual": height > TINY_IMAGE_SIZE,
        }
    check_arguments("backbone_args", backbone_args, backbone, BACKBONES[backbone], ("input_shape", "name"))
    return BACKBONES[backbone](tuple(image_shape), **{**defaults, **backbone_args})


def default_width(image_size: int) -> int:
    """Channels of a ResNet's first stage."""
    return 16 if image_size <= TINY_IMAGE_SIZE else 64


def patch_size(image_size: int) -> int:
    """The largest usual patch that leaves 8 x 8 of them, or 4 x 4 on tiny images."""
    rows = 4 if image_size <= TINY_IMAGE_SIZE else 8
    return next((p for p in (16, 14, 8, 4, 2) if image_size % p == 0 and image_size // p >= rows), 1)


def default_views(method: Method, dataset: str) -> str:
    """The name of the views of a method on a data set: digits must not be mirrored."""
    return method.recipe.digits_views if dataset == "digits" else method.recipe.views


def make_views(
    method: Method, views: str, dataset: str, image_shape: tuple
) -> str | kerassl.views.FusedAugmentation:
    """The `views` argument of a method; one that takes one view gets the first of two.

    Args:
        method: what is shown the views.
        views: "default" or a name of `kerassl.views.PRESETS`.
        dataset: name of the data.
        image_shape: (height, width, channels).
    """
    presets = kerassl.views.PRESETS
    name = default_views(method, dataset) if views == "default" else check_name("views", views, presets)
    one = presets[method.cls.default_views[0]].layer is kerassl.views.OneView
    if name == "default" or not one or presets[name].layer is not kerassl.views.TwoViews:
        return name
    return kerassl.views.preset(name, image_shape[0], image_shape[2]).view1


def make_method(
    method: Method,
    networks: list,
    views: str,
    dataset: str,
    info: kerassl.data.DatasetInfo,
    method_args: dict,
    seed: int,
    **parts,
) -> kerassl.SSLModel:
    """A method on its networks.

    Args:
        method: what is to be made.
        networks: the network to train, after its teacher if it has one.
        views: "default" or a name of `kerassl.views.PRESETS`.
        dataset: name of the data.
        info: what the data holds.
        method_args: arguments of the method.
        seed: keys all randomness of the run.
        **parts: further arguments, over which `method_args` wins.

    Raises:
        ValueError: for unknown views, an argument that the method does not take, or missing labels.
    """
    method.check_labels(dataset, info.num_classes)
    check_arguments("method_args", method_args, method.name, method.cls)
    # Of an encoder, or of a whole model that is gone on with.
    encoder = getattr(networks[-1], "encoder", networks[-1])
    views = make_views(method, views, dataset, encoder.input_shape[1:])
    return method.cls(
        *networks, views=views, num_classes=info.num_classes, seed=seed, **{**parts, **method_args}
    )
