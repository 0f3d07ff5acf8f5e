"""Post-training quantization to 8 bits: the layers that Keras quantizes, and those it leaves."""

import os
import tempfile
from collections.abc import Iterable

import keras

from kerassl.engine.keras_internals import layers_of, own_trainable_variables

# Keras quantizes these and no class derived from them; embeddings, which it knows too, are positions here.
QUANTIZED_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense)


def quantizable(layer: keras.layers.Layer) -> bool:
    """Whether `quantized` changes a layer."""
    return type(layer) in QUANTIZED_LAYERS


def quantized(network: keras.Model) -> keras.Model:
    """Returns a copy whose linear maps are in 8 bits, as Keras' `quantize("int8")` makes them.

    Weights are stored as int8 with a scale for each output, and inputs are rounded to int8 by the largest
    value of each row while the network runs; no data are needed. It covers `Dense` and `EinsumDense`, all
    that is large in a ViT. Convolutions are unchanged: a ResNet has nothing to quantize.

    Args:
        network: a model that `keras.models.load_model` can load after `import kerassl`.

    Returns:
        A model of the same inputs and outputs.

    Raises:
        ValueError: where there is no layer to quantize.

    Example:
        >>> import keras
        >>> from kerassl.export import quantized
        >>> network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
        >>> quantized(network).layers[0].quantization_mode
        'int8'
    """
    _check_something_to_quantize(network)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "network.keras")
        network.save(file)
        copy = keras.models.load_model(file, compile=False)
    copy.quantize("int8", filters=quantizable)
    return copy


def check_int8(network: keras.Model, formats: Iterable[str]) -> None:
    """Raises ValueError for a format that would have no int8 form of this network, or a wrong one."""
    if "openvino" in formats:
        raise ValueError(
            "openvino has no int8 form: OpenVINO sums Keras' 8-bit products in 8 bits, which is wrong. "
            "Export without int8, and let NNCF, its own tool, quantize the file."
        )
    if set(formats) - {"litert"}:
        _check_something_to_quantize(network)


def _check_something_to_quantize(network: keras.Model) -> None:
    changed, left = coverage(network)
    if not changed:
        raise ValueError(
            f"There is nothing to quantize: Keras' int8 covers Dense and EinsumDense layers, and the "
            f"{_counted(left)} of {network.name} are left unchanged. Export without int8, or to litert "
            f"alone, "
            "whose converter knows convolutions."
        )


def coverage(network: keras.Model) -> tuple[dict[str, int], dict[str, int]]:
    """The layers of a network that `quantized` changes, and the others that hold weights.

    Returns:
        Two `{class of layer: number of layers}`.
    """
    changed: dict[str, int] = {}
    left: dict[str, int] = {}
    for layer in layers_of(network):
        if quantizable(layer) or own_trainable_variables(layer):
            counts = changed if quantizable(layer) else left
            counts[type(layer).__name__] = counts.get(type(layer).__name__, 0) + 1
    return changed, left


def describe_int8(network: keras.Model) -> str:
    """One sentence on the layers that `quantized` changes, and those it leaves."""
    changed, left = coverage(network)
    layers = [layer for layer in layers_of(network) if quantizable(layer)]
    share = sum(layer.count_params() for layer in layers) / network.count_params()
    rest = f"; {_counted(left)} stay as they are" if left else ""
    return f"{_counted(changed)} in 8 bits, {share:.1%} of the weights{rest}"


def _counted(layers: dict[str, int]) -> str:
    return (
        ", ".join(f"{number} {name}" for name, number in sorted(layers.items())) or "no layers with weights"
    )
