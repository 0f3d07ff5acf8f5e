"""The model card of an exported network: its description, inputs, training and loading."""

import pathlib
from collections.abc import Mapping

import keras
import numpy as np

from kerassl.backbones.checks import inner_encoder
from kerassl.export.formats import FORMATS
from kerassl.export.parts import takes_images
from kerassl.version import __version__
from kerassl.views import InputFormat, preprocessing_of
from kerassl.views.image.input_format import BYTES
from kerassl.views.image.preprocess import statistics

Rows = Mapping[str, Mapping[str, object]]


def model_card(
    network: keras.Model,
    files: Mapping[str, pathlib.Path],
    settings: Mapping[str, object] | None = None,
    numbers: Rows | None = None,
    protocol: str = "",
    checks: Rows | None = None,
    int8: str = "",
    gives: str = "features",
) -> str:
    """Returns the card of a network as Markdown.

    Args:
        network: the written network, from inputs to one vector each.
        files: {format: path} of the written files.
        settings: {name: value}, the method and all that it was trained with; left out where empty.
        numbers: {row: {column: number or (mean, deviation)}} of measurements, under their protocols' names.
        protocol: how that was measured.
        checks: {format: {column: cell}} of facts about the files: sizes, differences; a row of another name
            is shown as it is.
        int8: the parts in 8 bits and their cost.
        gives: "features" or "probabilities".

    Example:
        >>> import keras, pathlib
        >>> from kerassl.export import model_card
        >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()], name="encoder")
        >>> print(model_card(network, {"keras": pathlib.Path("encoder.keras")}).splitlines()[0])
        # encoder
    """
    base = next(iter(files.values()))
    parts = [f"# {base.stem if base.suffix else base.name}", _what_it_is(network, settings, gives)]
    parts += ["## Images", _images(network)] if takes_images(network) else ["## Inputs", _inputs(network)]
    about = {
        files[name].name if name in files else name: {"format": name if name in files else "-", **row}
        for name, row in (checks or dict.fromkeys(files, {})).items()
    }
    parts += ["## Files", markdown_table(about)]
    if int8:
        parts.append(int8)
    for name, path in files.items():
        form = FORMATS[name]
        call = form.call_lines(name_of_input(network), network.inputs[0].dtype, len(network.inputs) > 1)
        parts.append(f"`{path.name}`:\n\n```python\n{form.load_lines(path.name)}\n{call}\n```")
    if settings:
        parts += ["## Training", _list(settings)]
    if numbers:
        parts += ["## Numbers", protocol, markdown_table(numbers)]
    parts += ["## Versions", _list(_versions())]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain_settings(model: keras.Model) -> dict[str, object]:
    """A model's class, its description, and the numbers and names among its constructor's arguments."""
    config = {k: v for k, v in model.get_config().items() if k not in ("name", "dtype", "trainable")}
    name, paper = type(model).__name__, (type(model).__doc__ or "").strip().partition("\n")[0].rstrip(".")
    method = paper if paper.startswith(name) else f"{name}: {paper}".removesuffix(": ")
    return {"method": method} | {
        name: value for name, value in config.items() if value is not None and _is_plain(value)
    }


def markdown_table(rows: Rows) -> str:
    """A table of {row: {column: cell}} in Markdown; a row may lack columns."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    lines += [[f"`{name}`", *(_cell(row.get(c)) for c in columns)] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _what_it_is(network: keras.Model, settings: Mapping[str, object] | None, gives: str) -> str:
    encoder = inner_encoder(network)
    config = encoder.get_config() if encoder is not network else {}
    shape = {k: v for k, v in config.items() if k not in ("name", "dtype", "trainable") and _is_plain(v)}
    what = "images" if takes_images(network) else "inputs"
    if takes_images(network) and preprocessing_of(network) is not None:
        what = "Raw images in [0, 255]"
    elif len(network.inputs) == 1:
        what = f"{network.inputs[0].dtype} {what}"
    else:
        what = f"{len(network.inputs)} inputs"
    lines = [
        f"{what} in, {network.output_shape[-1]} float32 {gives} an example out. "
        f"The encoder is a {type(encoder).__name__} of {network.count_params():,} weights"
        + (": " + ", ".join(f"{k} {v}" for k, v in shape.items()) if shape else "")
        + "."
    ]
    about = settings or {}
    if "dataset" in about:
        lines.append(f"It learned from {about['dataset']} by {about['method']}.")
    return " ".join(lines)


def name_of_input(network: keras.Model) -> str:
    """The name of the inputs in a card's code."""
    return network.inputs[0].name if len(network.inputs) == 1 else "inputs"


def _inputs(network: keras.Model) -> str:
    rows = [
        f"- `{part.name}`: {part.dtype} `({', '.join(['batch', *map(str, part.shape[1:])])})`"
        for part in network.inputs
    ]
    return "\n".join(rows).replace("None", "any length")


def _images(network: keras.Model) -> str:
    height, width, channels = network.input_shape[1:]
    size = f"of {height}x{width} pixels" if height and width else "of any height and width"
    layer, given = preprocessing_of(network), network.inputs[0]
    came = f"`{given.name}` is {given.dtype} `(batch, height, width, {channels})`, {size}, any batch."
    if layer is None:
        return f"{came} Nothing is done to them before the encoder."
    normalize = layer.normalize
    mean, std = (
        ", ".join(f"{float(v):g}" for v in np.ravel(keras.ops.convert_to_numpy(part)))
        for part in statistics(normalize.mean, normalize.std, channels)
    )
    scale = "from 0 to 255, uint8 or float"
    if layer.trained_on is not None and layer.trained_on.values != BYTES:
        scale = f"{layer.trained_on.values}, as those of training"
    return (
        f"{came} Values are {scale}: what follows is inside the file. Values on another scale are not "
        "recognized there; Keras alone warns of images in [0, 1].\n\n"
        f"- resized to {layer.size[0]}x{layer.size[1]} pixels, whatever the aspect ratio "
        "(bilinear, antialiased)\n"
        f"- divided by 255, less the mean ({mean}), divided by the standard deviation ({std})"
        f"{_training_images(layer.trained_on)}"
    )


def _training_images(record: InputFormat | None) -> str:
    if record is None:
        return ""
    before = f", brought to that size by: {record.resize}" if record.resize else ""
    height, width = record.size
    return (
        f"\n\nThe images that it learned from came as {height}x{width} pixels with values {record.values}"
        f"{before}. Bring others to that form for the accuracy of training."
    )


def _versions() -> dict[str, str]:
    return {"kerassl": __version__, "keras": keras.__version__, "backend": keras.backend.backend()}


def _list(values: Mapping[str, object]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 8 and all(isinstance(v, int | float | str) for v in value)
    return isinstance(value, bool | int | float | str)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return f"{value[0]:.3f} ± {value[1]:.3f}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
