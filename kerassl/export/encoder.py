"""An encoder for use elsewhere: raw uint8 images in, features out."""

import os
import pathlib

import keras
import numpy as np

from kerassl.export.card import model_card, plain_settings
from kerassl.export.formats import without_suffix, write_network
from kerassl.export.parts import inner_encoder
from kerassl.views import Preprocess, preprocessing_of

Size = int | tuple[int, int] | None


def export_encoder(
    model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    image_size: Size = None,
    encoder: keras.Model | None = None,
    resize_to: Size = None,
) -> pathlib.Path:
    """Writes a trained model's encoder with resizing and normalisation baked in, and its card beside it.

    SavedModel, ONNX, LiteRT and OpenVINO files are made by TensorFlow whatever the backend, torch files by
    torch; on other backends a second process makes them from a `.keras` file.

    Args:
        model: an `SSLModel`; what its `call` computes is what is written.
        path: a folder for `"tf_saved_model"`, a file for the others (the suffix is added). The card has the
            same name with the suffix `.md`.
        format: `"tf_saved_model"`, `"onnx"`, `"keras"`, `"litert"`, `"openvino"` or `"torch"`. A `.keras`
            file is loaded by `keras.models.load_model` after `import kerassl`.
        image_size: height and width in pixels of the images that will come; `None` takes any.
        encoder: another network for the same images that is written in place of the model's own.
        resize_to: height and width to which they are resized for the encoder; by default those that it was
            trained with.

    Returns:
        The path written, a `pathlib.Path`.

    Raises:
        ValueError: for an unknown format, or an encoder that does not take images of `resize_to`.
        ImportError: where what writes the format is not installed.

    Example:
        >>> import tempfile, kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.methods.SimCLR(encoder)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kerassl.export.export_encoder(model, f"{folder}/encoder", format="keras").name
        'encoder.keras'
    """
    network = exportable_encoder(model, image_size, encoder, resize_to)
    return _write(network, path, format, model, "features")


def export_classifier(
    model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    image_size: Size = None,
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
        ImportError: where what writes the format is not installed.

    Example:
        >>> import tempfile, kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.classifiers.Classifier(encoder, num_classes=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kerassl.export.export_classifier(model, f"{folder}/classifier", format="keras").name
        'classifier.keras'
    """
    images, prepared = raw_input(model.encoder, model.views and model.views.preprocess, image_size)
    _, logits = model.features_and_logits(prepared, False)
    probabilities = keras.layers.Softmax(dtype="float32")(logits)
    network = keras.Model(images, probabilities, name="classifier")
    return _write(network, path, format, model, "probabilities")


def _write(
    network: keras.Model, path: str | os.PathLike, format: str, model: keras.Model, gives: str
) -> pathlib.Path:
    files = dict(write_network(network, path, [format]))
    card = model_card(network, files, settings=plain_settings(model), gives=gives)
    base = without_suffix(path)
    base.with_name(f"{base.name}.md").write_text(card, encoding="utf-8")
    return files[format]


def exportable_encoder(
    model: keras.Model,
    image_size: Size = None,
    encoder: keras.Model | None = None,
    resize_to: Size = None,
) -> keras.Model:
    """A functional model from raw uint8 images to the embedding of `model`, sharing its weights.

    With `encoder` its features take the place of the embedding; sizes as in `export_encoder`.
    """
    preprocess = model.views and model.views.preprocess
    preprocess = _preprocess_to(preprocess, resize_to, model)
    return with_preprocessing(encoder or model.embedding_encoder, preprocess, image_size)


def with_preprocessing(
    encoder: keras.Model, preprocess: keras.layers.Layer | None, image_size: Size = None
) -> keras.Model:
    """A functional model from raw uint8 images to the features of an encoder, sharing its weights.

    Args:
        encoder: from normalised images to features or to a feature map, which is average-pooled.
        preprocess: a `kerassl.views.Preprocess`, which resizes and normalises as the encoder needs it;
            `None` for float32 images that come as they are needed.
        image_size: height and width in pixels of the images that will come; `None` takes any.

    Returns:
        A `keras.Model` that can be evaluated, embedded with, exported and saved.

    Raises:
        ValueError: for an encoder that does not take images of the size to which they are resized.

    Example:
        >>> import kerassl
        >>> from kerassl.export import with_preprocessing
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> network = with_preprocessing(encoder, kerassl.views.Preprocess(48))
        >>> network.input_shape, network.output_shape
        ((None, None, None, 3), (None, 32))
    """
    images, prepared = raw_input(encoder, preprocess, image_size)
    own, size = tuple(encoder.input_shape[1:3]), tuple(prepared.shape[1:3])
    if size != own:
        _try_size(encoder, size, own)
    features = encoder(prepared)
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D()(features)
    features = keras.layers.Activation("linear", dtype="float32")(features)
    return keras.Model(images, features, name="encoder")


def _try_size(encoder: keras.Model, size: tuple[int, int], own: tuple[int, int]) -> None:
    # A symbolic call does not look at what it computes.
    try:
        encoder(np.zeros((1, *size, encoder.input_shape[-1]), "float32"))
    except Exception as error:
        # Keras puts what a layer said between codes that make it bold.
        reason = str(error).split("\x1b[1m")[-1].split("\x1b[0m")[0].splitlines()[0]
        raise ValueError(
            f"{encoder.name} does not take images of {size[0]}x{size[1]} pixels, for it was made for "
            f"{own[0]}x{own[1]}: resize to that. {reason}"
        ) from error


def resized(network: keras.Model, image_size: Size = None, resize_to: Size = None) -> keras.Model:
    """The same exported encoder for images of other sizes, sharing its weights.

    Args:
        network: what `exportable_encoder` or `with_preprocessing` made, or loaded from its `.keras` file.
        image_size: height and width in pixels of the images that will come; `None` takes any.
        resize_to: height and width to which they are resized for the encoder; `None` keeps them. ResNets take
            any; ViTs, whose positions are interpolated, any that their patches divide.

    Returns:
        A model like `network`.

    Raises:
        ValueError: for a model without preprocessing, or an encoder that does not take that size.
    """
    preprocess = preprocessing_of(network)
    if preprocess is None:
        raise ValueError(f"{network.name} has no preprocessing: it takes images of its own size only.")
    preprocess = _preprocess_to(preprocess, resize_to, network)
    return with_preprocessing(inner_encoder(network), preprocess, image_size)


def _preprocess_to(
    preprocess: keras.layers.Layer | None, size: Size, model: keras.Model
) -> keras.layers.Layer | None:
    if size is None:
        return preprocess
    if not isinstance(preprocess, Preprocess):
        raise ValueError(f"resize_to={size}: {model.name} has no Preprocess layer that could resize to it.")
    return Preprocess(size, preprocess.normalize.mean, preprocess.normalize.std)


def raw_input(
    encoder: keras.Model, preprocess: keras.layers.Layer | None, image_size: Size = None
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input of an exported network, uint8 where it is preprocessed, and what the encoder takes of it."""
    if preprocess is None:
        images = keras.Input(encoder.input_shape[1:], dtype="float32")
        return images, images
    if image_size is None:
        size = (None, None)
    else:
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    images = keras.Input((*size, encoder.input_shape[-1]), dtype="uint8")
    return images, preprocess(images)
