"""An encoder and a linear layer, learned from labels: what other classifiers add to."""

import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.batch import Batch, Outputs, StepRecord
from kerassl.losses import cross_entropy
from kerassl.losses.supervised.cross_entropy import labeled_mean
from kerassl.methods.contrastive.simclr_v2 import SIMCLR_V2_PAPER
from kerassl.training import Common, FractionBelowOne, Recipe, SSLModel, Unpack


class Classifier(SSLModel):
    """A classifier of images, learned by cross entropy with the labels.

    As for any kerassl model, `predict` gives features and `export_encoder` writes the encoder; `classify`
    gives probabilities and `export_classifier` writes the whole. `fit` and `evaluate` report `accuracy`: of
    augmented images in training, of images as they are in evaluation.

    Each example's cross entropy is multiplied by its weight, where the data is `(images, labels, weights)` or
    `fit` gets `sample_weight=` or `class_weight=`. As in Keras the sum is then divided by the number of
    examples, here the labeled ones, and not by the sum of their weights. Accuracy knows no weights.

    A subclass names its loss terms in `terms`, and writes `loss_terms`, whose `Outputs` hold the logits of
    the examples (and in `state["counted"]` which of them the accuracy counts, if not all labeled ones), and
    `features_and_logits` where there is more than a linear layer. If its `loss_terms` applies
    `batch.weights`, it sets `supports_sample_weight = True`.

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`, trained before or not.
        label_smoothing: share of the uniform distribution in the targets, in [0, 1).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: without `num_classes`, or for a label smoothing outside of [0, 1); in `fit`, for data
            without labels.

    Example:
        >>> import kerassl
        >>> train, test, info = kerassl.data.load("digits", batch_size=256)
        >>> encoder = kerassl.backbones.resnet18(info.image_shape, stem="small", width=4)
        >>> model = kerassl.classifiers.Classifier(encoder, num_classes=info.num_classes)
        >>> model.classify(test.images[:3]).shape
        (3, 10)
    """

    family = "supervised"
    needs_labels = True
    supports_sample_weight = True
    terms, default_views = ("cross_entropy",), ("crop_flip", "crop_flip")
    # arXiv 1512.03385 section 3.4; fine-tuning as in google-research/simclr.
    recipes = {
        "classifier": Recipe(
            paper={"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4, "warmup_epochs": 5},
        ),
        "finetuned_classifier": Recipe(
            paper={**SIMCLR_V2_PAPER, "learning_rate": 0.08, "weight_decay": 0.0, "warmup_epochs": 0},
            short={"learning_rate": 1e-3, "weight_decay": 0.0},
        ),
    }

    def __init_subclass__(cls, **keywords) -> None:
        super().__init_subclass__(**keywords)
        # A loss of its own knows of no weights unless it says so.
        if "loss_terms" in vars(cls) and "supports_sample_weight" not in vars(cls):
            cls.supports_sample_weight = False

    def __init__(
        self,
        encoder: keras.Model,
        *,
        num_classes: int | None = None,
        label_smoothing: FractionBelowOne = 0.0,
        **common: Unpack[Common],
    ) -> None:
        if num_classes is None or num_classes < 2:
            raise ValueError(
                f"{type(self).__name__} needs num_classes >= 2, got {num_classes}: it learns from labels."
            )
        # No online probe: the classifier itself is what is looked at.
        super().__init__(encoder, **common)
        self.num_classes = num_classes
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.classifier = self.make_classifier()

    def make_classifier(self) -> keras.layers.Layer:
        """What gives the logits of features: a linear layer."""
        layer = keras.layers.Dense(self.num_classes, name="classifier")
        layer.build((None, self.feature_dim))
        return layer

    def features_and_logits(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features `(batch, dim)` and float32 logits `(batch, num_classes)` of normalized images."""
        features = self.encode(self.encoder, images, training)
        return features, ops.cast(self.classifier(features), "float32")

    def logits_network(self) -> keras.Model:
        """A functional model from normalized images to logits, sharing the classifier's weights."""
        images = keras.Input(self.encoder.input_shape[1:])
        _, logits = self.features_and_logits(images, False)
        return keras.Model(images, logits, name="logits")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy with the labels of the global batch."""
        (view,) = views
        features, logits = self.features_and_logits(view, training)
        return Outputs(
            {"cross_entropy": self.cross_entropy(logits, batch.labels, batch.weights)},
            features=features,
            logits=logits,
        )

    def cross_entropy(
        self, logits: KerasTensor, labels: KerasTensor | None, weights: KerasTensor | None = None
    ) -> KerasTensor:
        """The mean cross entropy over the labeled images of the global batch.

        Args:
            logits: `(batch, num_classes)`.
            labels: `(batch,)`, -1 where unknown.
            weights: `(batch,)` factors of the images' cross entropies; `None` for 1 each.

        Raises:
            ValueError: for data without labels.
        """
        logits, labels = self.gather(logits), self.gather(self.needed(labels))
        smoothing = self.arguments.label_smoothing
        if weights is None:
            return cross_entropy(logits, labels, smoothing)
        each = cross_entropy(logits, labels, smoothing, reduction="none")
        return labeled_mean(self.gather(weights) * each, labels)

    def needed(self, labels: KerasTensor | None) -> KerasTensor:
        """The labels; raises a ValueError where the data has none."""
        if labels is None:
            raise ValueError(
                f"{type(self).__name__} learns from labels, and the data has none. Pass (images, labels), "
                "with -1 for an image whose class is not known."
            )
        return labels

    def extra_metrics(self, record: StepRecord, training: bool) -> list:
        """Adds a batch to the accuracy."""
        labels, outputs = record.labels, record.outputs
        if labels is None:
            return []
        counted = outputs.state.get("counted", labels >= 0) if training else labels >= 0
        predicted = ops.cast(ops.argmax(outputs.logits, axis=-1), "int32")
        hits = ops.cast(ops.equal(predicted, labels), "float32")
        # Of all replicas, each of which may have another number of images that count.
        counted = self.gather(ops.cast(counted, "float32"))
        self.accuracy.update_state(self.gather(hits), sample_weight=counted)
        return [self.accuracy]

    def forward_pass(self, data: tuple, training: bool, virtual: int = 0) -> tuple[KerasTensor, StepRecord]:
        """As for every method; in evaluation with the logits of the inputs as they are, without views."""
        loss, record = super().forward_pass(data, training, virtual)
        if training:
            return loss, record
        inputs = record.inputs if self.views is not None else first_view(record.inputs)
        _, logits = self.features_and_logits(self.preprocess(inputs), False)
        return loss, record._replace(outputs=record.outputs._replace(logits=logits))

    def classify(self, images: np.ndarray, batch_size: int = 256, verbose: str | int = 0) -> np.ndarray:
        """Probabilities `(n, num_classes)` float32 of raw images `(n, height, width, channels)`.

        Args:
            images: in [0, 255].
            batch_size: images at a time.
            verbose: 0 for no progress bar.
        """
        return self._probabilities(
            lambda batch: self.features_and_logits(batch, False)[1], images, batch_size, verbose
        )

    def _probabilities(
        self,
        logits_of: Callable[[KerasTensor], KerasTensor],
        images: np.ndarray,
        batch_size: int,
        verbose: str | int,
    ) -> np.ndarray:
        """As `classify`, by a function from prepared images to logits."""

        def probabilities(batch: KerasTensor):
            return ops.softmax(logits_of(self.preprocess(batch)))

        starts = range(0, len(images), batch_size)
        bar = keras.utils.Progbar(len(starts), verbose=1 if verbose == "auto" else verbose)
        parts = []
        for start in starts:
            parts.append(self.call_locally(probabilities, np.asarray(images[start : start + batch_size])))
            bar.update(len(parts))
        return np.concatenate(parts)

    def export_classifier(
        self,
        path: str | os.PathLike,
        format: str = "tf_saved_model",
        image_size: int | tuple[int, int] | None = None,
    ) -> pathlib.Path:
        """Writes the classifier from raw images to probabilities; see `kerassl.export.export_classifier`."""
        from kerassl.export import export_classifier

        return export_classifier(self, path, format=format, image_size=image_size)


def first_view(inputs: object) -> object:
    """The first of ready views, or the only one."""
    return inputs[0] if isinstance(inputs, (tuple, list)) else inputs
