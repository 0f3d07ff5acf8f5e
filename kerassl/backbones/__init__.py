"""Encoders: residual and scattering networks, ViTs with a token interface, adapters for other packages."""

from kerassl.backbones.adapters import AdaptedEncoder, adapt
from kerassl.backbones.attention_maps import attention_maps
from kerassl.backbones.decoder import TokenDecoder
from kerassl.backbones.elastic import encode_elastic, kept_blocks, sub_vit
from kerassl.backbones.hub_weights import load_keras_hub
from kerassl.backbones.patches import patch_grid, patchify, take_patches, unpatchify
from kerassl.backbones.positions import resize_positions, sincos_positions
from kerassl.backbones.resnet import ResNet, resnet18, resnet34, resnet50
from kerassl.backbones.scatnet import scatnet
from kerassl.backbones.scattering import Scattering
from kerassl.backbones.timm_weights import load_timm, timm_statistics
from kerassl.backbones.transformer import DropPath, TransformerBlock
from kerassl.backbones.vit import ViT, vit

__all__ = [
    "AdaptedEncoder",
    "DropPath",
    "ResNet",
    "Scattering",
    "TokenDecoder",
    "TransformerBlock",
    "ViT",
    "adapt",
    "attention_maps",
    "encode_elastic",
    "kept_blocks",
    "load_keras_hub",
    "load_timm",
    "patch_grid",
    "patchify",
    "resize_positions",
    "resnet18",
    "resnet34",
    "resnet50",
    "scatnet",
    "sincos_positions",
    "sub_vit",
    "take_patches",
    "timm_statistics",
    "unpatchify",
    "vit",
]


def __dir__() -> list[str]:
    return sorted(__all__)
