"""Writes an encoder for use elsewhere: raw uint8 images in, features out."""

import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np

FORMATS = ("tf_saved_model", "onnx", "keras")

CONVERT = """
import sys
import keras
from kerassl.export import write

source, target, format = sys.argv[1:]
write(keras.models.load_model(source, compile=False), target, format)
"""


def export_encoder(
    model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    image_size: int | tuple[int, int] | None = None,
    encoder: keras.Model | None = None,
) -> pathlib.Path:
    """Writes a trained model's encoder with resizing and normalisation baked in.

    SavedModel and ONNX files are made by TensorFlow whatever the backend; on JAX and torch a second
    process with the TensorFlow backend makes them from the `.keras` file.

    Args:
        model: an `SSLModel`; what its `call` computes is what is written.
        path: a folder for `"tf_saved_model"`, a file for `"onnx"` and `"keras"` (the suffix is added).
        format: `"tf_saved_model"`, `"onnx"` or `"keras"`. A `.keras` file is loaded by
            `keras.models.load_model` after `import kerassl`.
        image_size: height and width in pixels of the images that will come; `None` takes any.
        encoder: another network for the same images that is written in place of the model's own.

    Returns:
        The path written, a `pathlib.Path`.

    Raises:
        ValueError: for an unknown format.
        ImportError: where TensorFlow, or for ONNX onnx and tf2onnx, are not installed.

    Example:
        >>> import tempfile, kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.methods.SimCLR(encoder)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kerassl.export.export_encoder(model, f"{folder}/encoder", format="keras").name
        'encoder.keras'
    """
    return _write(exportable_encoder(model, image_size, encoder), path, format)


def export_classifier(
    model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    image_size: int | tuple[int, int] | None = None,
) -> pathlib.Path:
    """Writes a trained classifier with resizing and normalisation baked in: raw images in, probabilities out.

    Args:
        model: a `kerassl.classifiers.Classifier`; what its `classify` computes is what is written.
        path: as in `export_encoder`.
        format: as in `export_encoder`.
        image_size: as in `export_encoder`.

    Returns:
        The path written, a `pathlib.Path`.

    Raises:
        ValueError: for an unknown format.
        ImportError: where TensorFlow, or for ONNX onnx and tf2onnx, are not installed.

    Example:
        >>> import tempfile, kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.classifiers.Classifier(encoder, num_classes=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kerassl.export.export_classifier(model, f"{folder}/classifier", format="keras").name
        'classifier.keras'
    """
    images, prepared = raw_input(model, model.encoder, image_size)
    _, logits = model.features_and_logits(prepared, False)
    probabilities = keras.layers.Softmax(dtype="float32")(logits)
    return _write(keras.Model(images, probabilities, name="classifier"), path, format)


def _write(network: keras.Model, path: str | os.PathLike, format: str) -> pathlib.Path:
    if format not in FORMATS:
        raise ValueError(f"Unknown export format {format!r}; choose one of {', '.join(FORMATS)}.")
    path = pathlib.Path(path)
    suffix = {"onnx": ".onnx", "keras": ".keras", "tf_saved_model": ""}[format]
    if suffix and path.suffix != suffix:
        path = path.with_name(path.name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "keras":
        network.save(path)
    elif keras.backend.backend() == "tensorflow":
        write(network, path, format)
    else:
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "network.keras")
            network.save(source)
            command = [sys.executable, "-c", CONVERT, source, str(path), format]
            environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if result.returncode:
                raise ImportError(
                    f"The {format} file is made by TensorFlow in a process of its own, which failed. "
                    f'Is `pip install "kerassl[export]"` done?\n{result.stderr[-2000:]}'
                )
    return path


def exportable_encoder(
    model: keras.Model,
    image_size: int | tuple[int, int] | None = None,
    encoder: keras.Model | None = None,
) -> keras.Model:
    """A functional model from raw uint8 images to the embedding of `model`, sharing its weights.

    With `encoder` its features take the place of the embedding.
    """
    encoder = encoder or model.embedding_encoder
    images, prepared = raw_input(model, encoder, image_size)
    features = encoder(prepared)
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D()(features)
    features = keras.layers.Activation("linear", dtype="float32")(features)
    return keras.Model(images, features, name="encoder")


def raw_input(
    model: keras.Model, encoder: keras.Model, image_size: int | tuple[int, int] | None = None
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input of an exported network, uint8 where `model` has views, and what its encoder takes of it."""
    if model.views is None:
        images = keras.Input(encoder.input_shape[1:], dtype="float32")
        return images, images
    if image_size is None:
        size = (None, None)
    else:
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    images = keras.Input((*size, encoder.input_shape[-1]), dtype="uint8")
    return images, model.views.preprocess(images)


def write(encoder: keras.Model, path: str | os.PathLike, format: str) -> None:
    """Writes SavedModel or ONNX on the TensorFlow backend."""
    if format == "onnx":
        for package in ("onnx", "tf2onnx"):
            try:
                __import__(package)
            except ImportError as error:
                raise ImportError(f'ONNX export needs {package}: pip install "kerassl[export]"') from error
    height, width, channels = (size or 32 for size in encoder.input_shape[1:])
    # Keras exports a model by the way it was last called, and a loaded one never was.
    encoder(np.zeros((1, height, width, channels), encoder.inputs[0].dtype))
    encoder.export(path, format=format, verbose=False)
