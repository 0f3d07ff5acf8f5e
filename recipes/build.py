"""Encoders, views and methods from names."""

import keras

import kerassl
from kerassl.views.image.presets.preset import SMALL_IMAGE_SIZE

from .methods import METHODS, byol_settings
from .names import BACKBONES, check_arguments, check_name

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
    check_arguments("backbone_args", backbone_args, backbone, BACKBONES[backbone], 1)
    return BACKBONES[backbone](tuple(image_shape), **{**defaults, **backbone_args})


def default_width(image_size: int) -> int:
    """Channels of a ResNet's first stage."""
    return 16 if image_size <= TINY_IMAGE_SIZE else 64


def patch_size(image_size: int) -> int:
    """The largest usual patch that leaves 8 x 8 of them, or 4 x 4 on tiny images."""
    rows = 4 if image_size <= TINY_IMAGE_SIZE else 8
    return next((p for p in (16, 14, 8, 4, 2) if image_size % p == 0 and image_size // p >= rows), 1)


def default_views(method: str, dataset: str) -> str:
    """The recipe of `kerassl.views` for a method and a data set: digits must not be mirrored."""
    if dataset != "digits" or method in ("mae", "random_teacher"):
        return METHODS[method].views
    return "ressl_digits" if method == "ressl" else "digits"


def weak_view(views: str, dataset: str, info: kerassl.data.DatasetInfo) -> str | keras.layers.Layer:
    """The one view of an image for distillation and fine-tuning: digits must not be mirrored.

    Args:
        views: "default" or the name of a recipe of `kerassl.views`.
        dataset: name of the data.
        info: what it holds.
    """
    if views == "default" and dataset == "digits":
        return kerassl.views.preset("digits", info.image_shape[0], info.image_shape[2]).view1
    return views


def default_method_args(method: str, num_updates: int, short_run: bool, num_images: int) -> dict:
    """Arguments of a method that depend on the length of the run or the size of the training set.

    Args:
        method: a method's name.
        num_updates: optimizer steps of the whole run.
        short_run: whether the run is a short one in the sense of `recipes.optimizers`.
        num_images: training images.
    """
    recipe = METHODS[method]
    arguments = {**recipe.arguments, **(recipe.short_arguments if short_run else {})}
    if method == "byol":
        arguments["momentum"] = byol_settings(num_updates)[0]
    if METHODS[method].method.takes_positions:
        arguments["num_images"] = num_images
    return arguments


def make_method(
    method: str,
    encoder: keras.Model,
    views: str,
    dataset: str,
    num_classes: int | None,
    method_args: dict,
    seed: int,
) -> kerassl.SSLModel:
    """A method on an encoder.

    Args:
        method: a name of `recipes.methods.METHODS`.
        encoder: the network to train.
        views: "default" or a name of `kerassl.views.PRESETS`.
        dataset: name of the data.
        num_classes: for the online probe; `None` for none.
        method_args: further arguments of the method.
        seed: keys all randomness of the run.

    Raises:
        ValueError: for an unknown name, an argument that the method does not have, or missing labels.
    """
    check_name("method", method, METHODS)
    if views != "default":
        check_name("views", views, kerassl.views.PRESETS)
    if method in ("look", "supcon") and num_classes is None:
        raise ValueError(f"{method} learns from labels, and {dataset} has none; simclr does without.")
    chosen = views
    if method == "mae" and dataset == "digits" and views == "default":
        size, channels = encoder.input_shape[1], encoder.input_shape[3]
        view = kerassl.views.preset("digits", size, channels).view1
        chosen = kerassl.views.MaskedView(view, encoder.grid[0] * encoder.grid[1])
    check_arguments("method_args", method_args, method, METHODS[method].method, 3)
    return METHODS[method].method(encoder, chosen, num_classes, seed=seed, **method_args)
