"""The way out: an encoder with its preprocessing, in any format, in 8 bits if wanted, with its model card."""

from kerassl.backbones.checks import inner_encoder
from kerassl.export.card import markdown_table, model_card
from kerassl.export.encoder import (
    RawImageModel,
    export_classifier,
    export_encoder,
    exportable_encoder,
    resized,
    with_preprocessing,
)
from kerassl.export.formats import FORMATS, read, without_suffix, write_network
from kerassl.export.parts import image_size, sample_inputs, takes_images
from kerassl.export.quantization import check_int8, describe_int8, quantized
from kerassl.export.saved_model import is_saved_model, load_saved_model
from kerassl.views import preprocessing_of

__all__ = [
    "FORMATS",
    "RawImageModel",
    "check_int8",
    "describe_int8",
    "export_classifier",
    "export_encoder",
    "exportable_encoder",
    "image_size",
    "inner_encoder",
    "is_saved_model",
    "load_saved_model",
    "markdown_table",
    "model_card",
    "preprocessing_of",
    "quantized",
    "read",
    "resized",
    "sample_inputs",
    "takes_images",
    "with_preprocessing",
    "without_suffix",
    "write_network",
]


def __dir__() -> list[str]:
    return sorted(__all__)
