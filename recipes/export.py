"""Writes the encoder of a run for use elsewhere, with resizing and normalisation inside.

    python -m recipes.export --workdir=runs/digits --format=onnx --output=digits.onnx

The newest checkpoint is written, so an unfinished run can be exported too.
"""

import pathlib

import keras

import kerassl
from recipes import command_line
from recipes.evaluate import read_run
from recipes.names import FORMATS, check_name


def run(
    workdir: str,
    format: str = "tf_saved_model",
    output: str | None = None,
    image_size: int | None = None,
) -> pathlib.Path:
    """Exports the encoder of a run.

    Args:
        workdir: folder of the run.
        format: tf_saved_model, onnx or keras.
        output: file or folder to write; exported/ in the workdir, with the format's suffix, if not given.
        image_size: side in pixels of the images that will come; any if not given.

    Returns:
        The path written.

    Raises:
        ValueError: for an unknown format or a workdir without a trained model.
    """
    check_name("format", format, FORMATS)
    place = pathlib.Path(workdir)
    model = load_run(place)
    target = kerassl.export.export_encoder(model, output or place / "exported", format, image_size)
    print(f"Wrote {target}: raw uint8 images in, {model.feature_dim} features out.")
    return target


def load_run(workdir: pathlib.Path) -> kerassl.SSLModel:
    """The trained model of a run, heads and all.

    Raises:
        ValueError: if the workdir holds no run, or one without a checkpoint.
    """
    read_run(workdir)
    file = kerassl.callbacks.Checkpoint(workdir / "checkpoints").latest()
    if file is None:
        raise ValueError(f"{workdir} has no checkpoint yet. Repeat its command.")
    return keras.models.load_model(file, compile=False)


if __name__ == "__main__":
    command_line.launch(run)
