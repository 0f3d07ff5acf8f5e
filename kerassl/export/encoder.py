"""An encoder for use elsewhere: raw inputs in, features out."""

import os
import pathlib
import warnings
from typing import Any

import keras
import numpy as np

from kerassl.backbones.checks import inner_encoder
from kerassl.evaluation.page import write_whole
from kerassl.export.card import model_card, plain_settings
from kerassl.export.formats import without_suffix, write_network
from kerassl.views import InputFormat, Preprocess, preprocessing_of
from kerassl.views.base import Modality
from kerassl.views.image.base import ImageModality
from kerassl.views.image.input_format import UNIT

Size = int | tuple[int, int] | None


@keras.saving.register_keras_serializable("kerassl")
class RawImageModel(keras.Model):
    """A functional model from raw images in [0, 255], which says so when it is given images in [0, 1].

    `exportable_encoder` and `with_preprocessing` return it. Images are float32 within, so that no value is
    cut off; uint8 images are taken as they are. The range is looked at where Python sees the values, in
    `predict` and `predict_on_batch`: a SavedModel or ONNX file takes [0, 1] for nearly black.
    """

    def predict(self, x: Any, *args, **kwargs) -> np.ndarray:
        """As `keras.Model.predict`; warns of float images in [0, 1]."""
        self._look_at(x)
        return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """As `keras.Model.predict_on_batch`; warns of float images in [0, 1]."""
        self._look_at(x)
        return super().predict_on_batch(x)

    def _look_at(self, images: Any) -> None:
        layer = preprocessing_of(self)
        trained_on = None if layer is None else layer.trained_on
        if not hasattr(images, "dtype") or len(getattr(images, "shape", ())) != 4:
            return
        black, white = (0, 255) if layer is None else layer.value_range
        if white <= 1 or (trained_on is not None and trained_on.values == UNIT):
            return
        if len(images) and InputFormat.of(images).values == UNIT:
            mend = (
                "Multiply them by 255, or pass uint8 images."
                if (black, white) == (0, 255)
                else "Rescale them."
            )
            warnings.warn(
                f"{self.name} takes images in [{black:g}, {white:g}]; got floats in [0, 1], which are nearly "
                f"black on that scale. {mend}",
                stacklevel=3,
            )


def export_encoder(
    model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    image_size: Size = None,
    encoder: keras.Model | None = None,
    resize_to: Size = None,
) -> pathlib.Path:
    """Writes a trained model's encoder with its preprocessing baked in, and its model card.

    Encoders of images take raw images in [0, 255], uint8 or float, of any size: they are resized and
    normalized inside. Other inputs, such as signals, tables, token ids or a dict of several, go in as the
    views' preprocessing takes them, float32 where they are no integers. The input is called `images` or
    `inputs`, several by their own names, and the output `features`.

    SavedModel, ONNX, LiteRT and OpenVINO files are made by TensorFlow on every backend, torch files by
    torch; on other backends a second process makes them from a `.keras` file.

    Args:
        model: an `SSLModel`; its `call` is written.
        path: a folder for `"tf_saved_model"`, a file for the others (the suffix is added); `~` is the home
            folder. The card has the same name with the suffix `.md`.
        format: `"tf_saved_model"`, `"onnx"`, `"keras"`, `"litert"`, `"openvino"` or `"torch"`. A `.keras`
            file is loaded by `keras.models.load_model` after `import kerassl`.
        image_size: height and width in pixels of the images that will come; `None` takes any.
        encoder: another network for the same inputs that is written instead of the model's.
        resize_to: height and width to which they are resized for the encoder; by default those that it was
            trained with.

    Returns:
        The path written, a `pathlib.Path`.

    Raises:
        ValueError: for an unknown format, or an encoder that does not take images of `resize_to`.
        ImportError: if the package that writes the format is missing.

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
    """Writes a trained classifier with resizing and normalization baked in: raw images in, probabilities out.

    Args:
        model: a `kerassl.classifiers.Classifier`; its `classify` is written.
        path: as in `export_encoder`.
        format: as in `export_encoder`.
        image_size: as in `export_encoder`.

    Returns:
        The path written, a `pathlib.Path`.

    Raises:
        ValueError: for an unknown format.
        ImportError: if the package that writes the format is missing.

    Example:
        >>> import tempfile, kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.classifiers.Classifier(encoder, num_classes=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kerassl.export.export_classifier(model, f"{folder}/classifier", format="keras").name
        'classifier.keras'
    """
    preprocess = model.views and model.views.preprocess
    images, prepared = raw_input(model.encoder, preprocess, image_size, model.views)
    _, logits = model.features_and_logits(prepared, False)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
    network = _model_class(preprocess)(images, probabilities, name="classifier")
    return _write(network, path, format, model, "probabilities")


def _write(
    network: keras.Model, path: str | os.PathLike, format: str, model: keras.Model, gives: str
) -> pathlib.Path:
    files = dict(write_network(network, path, [format]))
    card = model_card(network, files, settings=plain_settings(model), gives=gives)
    base = without_suffix(path)
    write_whole(base.with_name(f"{base.name}.md"), card)
    return files[format]


def exportable_encoder(
    model: keras.Model,
    image_size: Size = None,
    encoder: keras.Model | None = None,
    resize_to: Size = None,
) -> keras.Model:
    """A functional model from raw inputs to the embedding of `model`, sharing its weights.

    With `encoder` its features take the place of the embedding; sizes as in `export_encoder`.
    """
    preprocess = model.views and model.views.preprocess
    preprocess = _preprocess_to(preprocess, resize_to, model)
    return with_preprocessing(encoder or model.embedding_encoder, preprocess, image_size, model.views)


def with_preprocessing(
    encoder: keras.Model,
    preprocess: keras.layers.Layer | None,
    image_size: Size = None,
    views: keras.layers.Layer | None = None,
) -> keras.Model:
    """A functional model from raw inputs to the features of an encoder, sharing its weights.

    Args:
        encoder: from prepared inputs to features `(batch, dim)`, or `(batch, ..., dim)`, which are averaged
            over the axes between.
        preprocess: a `kerassl.views.Preprocess`, which resizes and normalizes images as the encoder needs
            them, another layer for other inputs, or `None` for inputs that come as they are needed.
        image_size: height and width in pixels of the images that will come; `None` takes any.
        views: the views that the preprocessing belongs to, whose `raw_input_spec` says what raw inputs are.

    Returns:
        A `keras.Model` that can be evaluated, embedded with, exported and saved. Of images it takes raw ones
        in [0, 255], uint8 or float, and warns of [0, 1].

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
    inputs, prepared = raw_input(encoder, preprocess, image_size, views)
    if isinstance(preprocess, Preprocess):
        own, size = tuple(encoder.input_shape[1:3]), tuple(prepared.shape[1:3])
        if size != own:
            _try_size(encoder, size, own)
    features = encoder(prepared)
    if len(features.shape) > 2:
        features = keras.ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))
    # A layer's name stands once in a network.
    name = "features" if encoder.name != "features" else "embedding"
    features = keras.layers.Activation("linear", dtype="float32", name=name)(features)
    return _model_class(preprocess)(inputs, features, name="encoder")


def _model_class(preprocess: keras.layers.Layer | None) -> type[keras.Model]:
    return RawImageModel if isinstance(preprocess, Preprocess) else keras.Model


def _try_size(encoder: keras.Model, size: tuple[int, int], own: tuple[int, int]) -> None:
    # A symbolic call does not inspect values.
    try:
        encoder(np.zeros((1, *size, encoder.input_shape[-1]), "float32"))
    except Exception as error:
        # Keras puts a layer's message between codes for bold type.
        reason = str(error).split("\x1b[1m")[-1].split("\x1b[0m")[0].splitlines()[0]
        raise ValueError(
            f"{encoder.name} does not take images of {size[0]}x{size[1]} pixels, for it was made for "
            f"{own[0]}x{own[1]}: resize to that. {reason}"
        ) from error


def resized(network: keras.Model, image_size: Size = None, resize_to: Size = None) -> keras.Model:
    """The same exported encoder for images of other sizes, sharing its weights.

    Args:
        network: the result of `exportable_encoder` or `with_preprocessing`, or loaded from its `.keras` file.
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
    normalize = preprocess.normalize
    return Preprocess(size, normalize.mean, normalize.std, value_range=preprocess.value_range)


def raw_input(
    encoder: keras.Model,
    preprocess: keras.layers.Layer | None,
    image_size: Size = None,
    views: keras.layers.Layer | None = None,
) -> tuple[Any, Any]:
    """The input of an exported network, or several, nested, and the encoder's inputs from them."""
    if isinstance(preprocess, Preprocess):
        spec, name = ImageModality().raw_input_spec(encoder, image_size), "images"
    elif image_size is not None:
        raise ValueError(
            f"image_size={image_size}: {encoder.name} has no Preprocess layer, so its inputs have the size "
            "that it takes. Leave image_size out."
        )
    else:
        modality = views if isinstance(views, Modality) else Modality()
        spec = modality.raw_input_spec(encoder)
        name = "images" if modality.modality == "images" else "inputs"
    several = len(keras.tree.flatten(spec)) > 1

    def as_input(part: keras.InputSpec) -> keras.KerasTensor:
        dtype = keras.backend.standardize_dtype(part.dtype or "float32")
        dtype = "float32" if keras.backend.is_float_dtype(dtype) else dtype
        return keras.Input(part.shape[1:], dtype=dtype, name=part.name if several else name)

    inputs = keras.tree.map_structure(as_input, spec)
    return inputs, inputs if preprocess is None else preprocess(inputs)
