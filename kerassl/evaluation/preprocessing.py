"""Preprocessing of an encoder's training images, and the cost of different preprocessing."""

import dataclasses
import json
import os
import warnings
import zipfile

import keras
import numpy as np

from kerassl.data import LazyImages
from kerassl.data.image.decode import resize_and_crop_all
from kerassl.evaluation.knn import knn_accuracy
from kerassl.metrics.checks import check_count, short
from kerassl.metrics.features import check_array, check_labels, l2_normalize
from kerassl.views import InputFormat, Preprocess, preprocessing_of
from kerassl.views.image.input_format import NORMALIZED, UNIT
from kerassl.views.image.preprocess import statistics

PROBE_IMAGES = 400
NEIGHBORS = 5


@dataclasses.dataclass(frozen=True)
class TrainingPreprocessing:
    """The preprocessing of images on their way into an encoder.

    Attributes:
        images: format of the training images before the encoder's own preprocessing, if `fit` recorded it.
        size: (height, width) in pixels to which the encoder resizes, antialiased bilinear.
        mean: that it subtracts, of images in [0, 1]; `None` is ImageNet's for 3 channels and 0.5 otherwise.
        std: by which it divides; `None` is ImageNet's for 3 channels and 0.25 otherwise.
    """

    images: InputFormat | None
    size: tuple[int, int]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def training_preprocessing(encoder: keras.Model | str | os.PathLike) -> TrainingPreprocessing | None:
    """Returns how an encoder's images were prepared for training, `None` where it has no preprocessing.

    Args:
        encoder: an `SSLModel`, a `keras.Model` that kerassl exported, or the path of its `.keras` file.

    Raises:
        ValueError: for anything else.

    Example:
        >>> import numpy as np, kerassl
        >>> from kerassl.evaluation import training_preprocessing
        >>> encoder = kerassl.backbones.ResNet((16, 16, 1), depths=(1,), width=4, stem="small")
        >>> model = kerassl.methods.SimCLR(encoder, projection_dim=8)
        >>> _ = model.fit(np.zeros((4, 24, 24, 1), "uint8"), verbose=0)
        >>> found = training_preprocessing(model)
        >>> found.images.size, found.images.values, found.size
        ((24, 24), '0 to 255', (16, 16))
    """
    if not isinstance(encoder, (keras.Model, str, os.PathLike)):
        raise ValueError(f"encoder must be a keras.Model or the path of a .keras file; got {short(encoder)}.")
    layer = preprocessing_of(encoder) if isinstance(encoder, keras.Model) else _read_layer(encoder)
    if layer is None:
        return None
    return TrainingPreprocessing(layer.trained_on, layer.size, layer.normalize.mean, layer.normalize.std)


@dataclasses.dataclass(frozen=True)
class PreprocessingMismatch:
    """Effect on features of inputs preprocessed differently than in training.

    Attributes:
        differences: each in words.
        images: number of compared images.
        cosine: mean cosine of an image's features under both preprocessings, less the mean feature.
        knn: accuracy of 5 nearest neighbors among them with the images as they come; `None` without labels.
        knn_as_trained: the same accuracy with images preprocessed as in training.
    """

    differences: tuple[str, ...]
    images: int
    cosine: float
    knn: float | None = None
    knn_as_trained: float | None = None

    def __str__(self) -> str:
        measured = [f"the cosine of the features under both preprocessings is {self.cosine:.2f}"]
        if self.knn is not None:
            come, trained = (f"{100 * share:.1f} %" for share in (self.knn, self.knn_as_trained))
            measured.append(
                f"the accuracy of {NEIGHBORS} nearest neighbors {come} as the images come, {trained} as in "
                "training"
            )
        return f"{'; '.join(self.differences)}. On {self.images} images, {' and '.join(measured)}."


def preprocessing_mismatch(
    encoder: keras.Model,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    as_trained: np.ndarray | None = None,
    batch_size: int = 256,
) -> PreprocessingMismatch | None:
    """Compares images with those that an encoder was trained on, and measures the effect of differences.

    Some of the images are embedded as given, and again scaled and resized as in training. Differences that
    pixels do not show, such as the order of channels or a crop of the right size, are not found.

    Source: Corley et al., Revisiting pre-trained remote sensing model benchmarks: resizing and normalization
    matters, arXiv 2305.13456.

    Args:
        encoder: as in `training_preprocessing`, but no path.
        images: `(number, height, width, channels)`.
        labels: `(number,)` integers, -1 for unlabeled, or `None`.
        as_trained: the same images prepared as in training; by default made from `images`, which shows less
            than there is where these have lost pixels already.
        batch_size: images at a time.

    Returns:
        The mismatch, or `None` if nothing differs or the encoder's training images are unknown.

    Raises:
        ValueError: for an encoder, images or labels that are something else.

    Example:
        >>> import numpy as np, kerassl
        >>> from kerassl.evaluation import preprocessing_mismatch
        >>> encoder = kerassl.backbones.ResNet((16, 16, 1), depths=(1,), width=4, stem="small")
        >>> model = kerassl.methods.SimCLR(encoder, projection_dim=8)
        >>> images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1)).astype("uint8")
        >>> _ = model.fit(images, verbose=0)
        >>> preprocessing_mismatch(model, images)
        >>> preprocessing_mismatch(model, images / 255).differences
        ('the values are 0 to 1, those of training were 0 to 255',)
    """
    if not isinstance(encoder, keras.Model):
        raise ValueError(f"encoder must be a keras.Model; got {short(encoder)}.")
    check_count("batch_size", batch_size)
    if not isinstance(images, LazyImages):
        images = check_array("images", images, ("number", "height", "width", "channels"))
    if labels is not None:
        labels = check_labels(labels, len(images), "labels")
    known = training_preprocessing(encoder)
    if known is None or known.images is None:
        return None
    value_range = preprocessing_of(encoder).value_range
    here, there = InputFormat.of(images, value_range=value_range), known.images
    differences = []
    if here.values != there.values:
        differences.append(f"the values are {here.values}, those of training were {there.values}")
    if here.size != there.size:
        sizes = [f"{height} x {width}" for height, width in (here.size, there.size)]
        differences.append(f"the images are {sizes[0]} pixels, those of training were {sizes[1]}")
    if not differences:
        return None
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:PROBE_IMAGES])
    given = np.asarray(images)[chosen]
    if as_trained is None:
        as_trained = resize_and_crop_all(rescaled(given, here.values, known, value_range), there.size)
        if min(here.size) < min(there.size):
            differences.append("smaller images have lost what the numbers here cannot show")
    else:
        as_trained = np.asarray(as_trained)[chosen]
    features, others = (_embed(encoder, part, batch_size) for part in (given, as_trained))
    centered = l2_normalize(features - features.mean(0)), l2_normalize(others - others.mean(0))
    cosine = float(np.mean(np.sum(centered[0] * centered[1], axis=1)))
    accuracies = (None, None)
    if labels is not None:
        labels = labels[chosen]
        accuracies = _half_knn(features, labels), _half_knn(others, labels)
    return PreprocessingMismatch(tuple(differences), len(given), cosine, *accuracies)


def rescaled(
    images: np.ndarray, values: str, known: TrainingPreprocessing, value_range: tuple[float, float]
) -> np.ndarray:
    """Images on the scale of training; normalized ones are taken to be so by the encoder's numbers."""
    images = images.astype("float32")
    if values == NORMALIZED:
        mean, std = map(keras.ops.convert_to_numpy, statistics(known.mean, known.std, images.shape[-1]))
        images, values = images * std + mean, UNIT
    if values == known.images.values:
        return images
    black, white = value_range
    if values == UNIT:
        return images * np.float32(white - black) + np.float32(black)
    return (images - np.float32(black)) / np.float32(white - black) if known.images.values == UNIT else images


def warn_of_preprocessing(
    encoder: keras.Model,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    as_trained: np.ndarray | None = None,
) -> None:
    """Warns, once per loaded encoder and difference, if images differ from those of training.

    Args:
        encoder: as in `preprocessing_mismatch`.
        images: as in `preprocessing_mismatch`.
        labels: as in `preprocessing_mismatch`.
        as_trained: as in `preprocessing_mismatch`.
    """
    layer = preprocessing_of(encoder)
    if layer is None or layer.trained_on is None:
        return
    here = InputFormat.of(images, value_range=layer.value_range)
    difference = (here.size, here.values)
    if difference == (layer.trained_on.size, layer.trained_on.values) or difference in layer.warned_of:
        return
    layer.warned_of = (*layer.warned_of, difference)
    if labels is not None and (labels.ndim != 1 or labels.dtype.kind not in "ui"):
        labels = None
    mismatch = preprocessing_mismatch(encoder, images, labels, as_trained)
    if mismatch is not None:
        warnings.warn(f"Evaluation prepares images otherwise than training did: {mismatch}", stacklevel=3)


def _read_layer(path: str | os.PathLike) -> Preprocess | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            return None
        config = json.loads(archive.read("config.json"))
    for layer in config.get("config", {}).get("layers", ()):
        if layer.get("registered_name") == keras.saving.get_registered_name(Preprocess):
            return keras.saving.deserialize_keras_object(layer)
    return None


def _embed(encoder: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    features = np.asarray(encoder.predict(images, batch_size=batch_size, verbose=0), "float32")
    return features.mean(tuple(range(1, features.ndim - 1)))


def _half_knn(features: np.ndarray, labels: np.ndarray) -> float | None:
    """Accuracy of nearest neighbors of the odd labeled images among the even ones."""
    features, labels = features[labels >= 0], labels[labels >= 0]
    if len(labels) < 4 * NEIGHBORS:
        return None
    return float(knn_accuracy(features[::2], labels[::2], features[1::2], labels[1::2], NEIGHBORS))
