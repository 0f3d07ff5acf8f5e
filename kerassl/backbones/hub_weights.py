"""ResNets and vision transformers with the weights of a keras-hub backbone."""

import keras
import numpy as np

from kerassl.arguments import checked
from kerassl.backbones.backbone import Deviation, ImageSize, Statistic
from kerassl.backbones.resnet import ResNet
from kerassl.backbones.timm_weights import load_timm
from kerassl.backbones.vit import ViT


@checked
def load_keras_hub(
    backbone: keras.Model,
    image_size: ImageSize = None,
    pool: str | None = "default",
    name: str | None = None,
    mean: Statistic = None,
    std: Deviation = None,
) -> ResNet | ViT:
    """Returns the ResNet or ViT with the weights of a `keras_hub.models.ResNetBackbone` or `ViTBackbone`.

    `adapt` wraps any backbone unchanged. This function converts it to a network of `kerassl.backbones`, with
    the token interface of a ViT, which masked modeling needs, or with another image size. Outputs equal the
    backbone's for the same normalized images: a ViT's class token or mean of patches, a ResNet's pooled map.

    Args:
        backbone: with its weights, such as `keras_hub.models.ViTBackbone.from_preset(...)`.
        image_size: height and width in pixels, as of `load_timm`.
        pool: as of `load_timm`.
        name: name of the model.
        mean: by which images in [0, 1] were normalized, as of `load_timm`; a backbone of keras-hub does not
            know it.
        std: the same.

    Raises:
        ValueError: for another backbone, or a part that kerassl lacks: pre-activation, deep stems and "vd"
            blocks of ResNets; ViTs without class token, non-square patches, MLPs of another width
            than four times the tokens', layer norms of another epsilon than 1e-6.

    Example:
        >>> import keras_hub
        >>> from kerassl.backbones import load_keras_hub
        >>> backbone = keras_hub.models.ViTBackbone(
        ...     (16, 16, 3), (8, 8), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=32)
        >>> encoder = load_keras_hub(backbone)
        >>> encoder.grid, encoder.output_shape
        ((2, 2), (None, 8))
    """
    kind = type(backbone).__name__
    if kind not in _STATES:
        raise ValueError(
            f"{kind} is not one of {', '.join(_STATES)} of keras-hub; kerassl.backbones.adapt makes an "
            "encoder of any backbone."
        )
    config = backbone.get_config()
    if getattr(backbone, "data_format", None) == "channels_first":
        raise ValueError(f"{backbone.name} has channels first; make it with channels last.")
    state, heads = _STATES[kind](backbone, config), config.get("num_heads")
    return load_timm(state, image_size, heads, pool, name, mean, std)


def _vit_state(backbone: keras.Model, config: dict) -> dict[str, np.ndarray]:
    """The weights by timm's names, axes as in torch."""
    rows, columns = config["patch_size"]
    if rows != columns or config["image_shape"][0] != config["image_shape"][1]:
        raise ValueError(
            f"{backbone.name} has images {config['image_shape']} and patches {config['patch_size']}; both "
            "must be squares."
        )
    if not config["use_class_token"] or config["layer_norm_epsilon"] != 1e-6:
        raise ValueError(
            f"{backbone.name} has use_class_token={config['use_class_token']} and layer_norm_epsilon="
            f"{config['layer_norm_epsilon']}; a class token and 1e-6 are needed."
        )
    embedding, encoder = (backbone.get_layer(name) for name in ("vit_patching_and_embedding", "vit_encoder"))
    state = {
        "cls_token": _numpy(embedding.class_token),
        "pos_embed": _numpy(embedding.position_embedding.embeddings)[None],
    }
    state |= _convolution(embedding.patch_embedding, "patch_embed.proj")
    for index, block in enumerate(encoder.encoder_layers):
        at = f"blocks.{index}"
        state |= _norm(block.layer_norm_1, f"{at}.norm1") | _norm(block.layer_norm_2, f"{at}.norm2")
        state |= _linear(block.mlp.dense_1, f"{at}.mlp.fc1") | _linear(block.mlp.dense_2, f"{at}.mlp.fc2")
        attention, width = block.mha, config["hidden_dim"]
        parts = attention.query_dense, attention.key_dense, attention.value_dense
        kernels = [_numpy(part.kernel).reshape(width, width) for part in parts]
        state[f"{at}.attn.qkv.weight"] = np.concatenate(kernels, axis=1).T
        state[f"{at}.attn.proj.weight"] = _numpy(attention.output_dense.kernel).reshape(width, width).T
        if config["use_mha_bias"]:
            state[f"{at}.attn.qkv.bias"] = np.concatenate([_numpy(part.bias).ravel() for part in parts])
            state[f"{at}.attn.proj.bias"] = _numpy(attention.output_dense.bias)
    return state | _norm(encoder.layer_norm, "norm")


def _resnet_state(backbone: keras.Model, config: dict) -> dict[str, np.ndarray]:
    """The weights by timm's names, axes as in torch."""
    filters, strides = config["stackwise_num_filters"], config["stackwise_num_strides"]
    usual = [64 * 2**stage for stage in range(len(filters))], [1, *[2] * (len(strides) - 1)]
    if (
        config["use_pre_activation"]
        or config["block_type"] not in ("basic_block", "bottleneck_block")
        or list(config["input_conv_kernel_sizes"]) != [7]
        or list(config["input_conv_filters"]) != [64]
        or (list(filters), list(strides)) != usual
    ):
        raise ValueError(
            f"{backbone.name} is not a ResNet as of 2015: pre-activation, deep stems, other widths and "
            'strides and "vd" blocks have no place in kerassl.backbones.ResNet; take kerassl.backbones.adapt.'
        )
    state = _convolution(backbone.get_layer("conv1_conv"), "conv1")
    state |= _batch_norm(backbone.get_layer("conv1_bn"), "bn1")
    for layer in backbone.layers:
        if not layer.weights or not layer.name.startswith("stack"):
            continue
        stack, block, number, part = layer.name.removeprefix("stack").split("_")
        at = f"layer{int(stack) + 1}.{block.removeprefix('block')}"
        if number == "0":
            at += f".downsample.{0 if part == 'conv' else 1}"
        else:
            at += f".{part}{number}"
        state |= _convolution(layer, at) if part == "conv" else _batch_norm(layer, at)
    return state


_STATES = {"ViTBackbone": _vit_state, "ResNetBackbone": _resnet_state}


def _numpy(variable: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)


def _convolution(layer: keras.layers.Conv2D, name: str) -> dict[str, np.ndarray]:
    bias = {f"{name}.bias": _numpy(layer.bias)} if layer.use_bias else {}
    return {f"{name}.weight": _numpy(layer.kernel).transpose(3, 2, 0, 1), **bias}


def _linear(layer: keras.layers.Dense, name: str) -> dict[str, np.ndarray]:
    bias = {f"{name}.bias": _numpy(layer.bias)} if layer.use_bias else {}
    return {f"{name}.weight": _numpy(layer.kernel).T, **bias}


def _norm(layer: keras.layers.LayerNormalization, name: str) -> dict[str, np.ndarray]:
    return {f"{name}.weight": _numpy(layer.gamma), f"{name}.bias": _numpy(layer.beta)}


def _batch_norm(layer: keras.layers.BatchNormalization, name: str) -> dict[str, np.ndarray]:
    running = {
        f"{name}.running_mean": _numpy(layer.moving_mean),
        f"{name}.running_var": _numpy(layer.moving_variance),
    }
    return _norm(layer, name) | running
