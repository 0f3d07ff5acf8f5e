"""SLA: an image's class and how it was transformed are one label, and all its transforms answer together.

"Self-supervised Label Augmentation via Input Transformations", arXiv 1910.05872. Official code: hankook/SLA,
`trainers.py`, `augmentations.py`.

- The transforms of an image follow each other in the batch, and all go through batch norm together, as there.
- `joint_weight` is 1 there, and the number of transforms with the flag that it has for large data sets.
- Rotations turn clockwise, there the other way, which numbers the labels differently and nothing else.
- Of SLA+SD, the distillation asks no label, so unlabelled images take part in it.
"""

import keras
from keras import KerasTensor, ops

from kerassl.classifiers import Classifier
from kerassl.losses import kd
from kerassl.views import color_permutations, quarter_turns

# Functions from (batch, ...) to (batch, number, ...), the images as they are first, and the number.
TRANSFORMS = {"rotation": (quarter_turns, 4), "color_permutation": (color_permutations, 6)}
INFERENCES = ("aggregated", "single")


@keras.saving.register_keras_serializable("kerassl")
class SLA(Classifier):
    """SLA and SLA+SD (arXiv 1910.05872).

    Args:
        encoder: as in `Classifier`; square images for rotations, three channels for permutations of colours.
        views: as in `Classifier`.
        num_classes: number of classes. Images of label -1 are left out of the cross entropies.
        transform: "rotation", by the four quarter turns, or "color_permutation", the six orders of the
            channels.
        self_distillation: whether a second classifier learns from the image as it is what all transforms say
            together (SLA+SD), and answers in one pass.
        inference: what `classify`, the accuracy and an export take as logits. "aggregated": the mean over all
            transforms, each by its own labels. "single": of the image as it is; of SLA+SD that of the second
            classifier. `None` is "single" with self-distillation, else "aggregated".
        temperature: of the self-distillation; > 0.
        joint_weight: weight of the cross entropy with the joint labels, at least 0.
        label_smoothing: of all cross entropies, in [0, 1).
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for an unknown transform or inference, a temperature <= 0, a negative weight, images that
            cannot be transformed, and as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.SLA(encoder, num_classes=10)
        >>> model.joint_classifier.units
        40
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        transform: str = "rotation",
        self_distillation: bool = False,
        inference: str | None = None,
        temperature: float = 1.0,
        joint_weight: float = 1.0,
        label_smoothing: float = 0.0,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if transform not in TRANSFORMS:
            raise ValueError(f"transform={transform!r} is unknown; use one of {', '.join(TRANSFORMS)}.")
        if inference not in (None, *INFERENCES):
            raise ValueError(f"inference={inference!r} is unknown; use one of {', '.join(INFERENCES)}.")
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the paper uses 1.")
        if joint_weight < 0:
            raise ValueError(f"joint_weight must be at least 0, got {joint_weight}.")
        self.self_distillation = self_distillation
        super().__init__(encoder, views, num_classes, label_smoothing=label_smoothing, seed=seed, name=name)
        self.transform = transform
        self.transformed, self.num_transforms = TRANSFORMS[transform]
        # Raises for images that cannot be transformed so.
        self.transformed(keras.KerasTensor(encoder.input_shape))
        self.inference = inference or ("single" if self_distillation else "aggregated")
        self.temperature = temperature
        self.joint_weight = joint_weight
        self.joint_classifier = keras.layers.Dense(num_classes * self.num_transforms, name="joint_classifier")
        self.joint_classifier.build((None, self.feature_dim))

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of the loss terms."""
        return ("joint", "cross_entropy", "kd") if self.self_distillation else ("joint",)

    def make_classifier(self) -> keras.layers.Layer | None:
        """The second classifier of SLA+SD; without self-distillation there is none."""
        return super().make_classifier() if self.self_distillation else None

    def features_and_logits(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features of the images as they are, and the logits of the chosen inference."""
        if self.inference == "aggregated":
            features, joint = self.features_and_joint_logits(images, training)
            return features[:, 0], self.aggregated(joint)
        features = self.encode(self.encoder, images, training)
        return features, self.single_logits(features)

    def single_logits(self, features: KerasTensor) -> KerasTensor:
        """Float32 logits `(batch, num_classes)` of features of the images as they are."""
        if self.self_distillation:
            return ops.cast(self.classifier(features), "float32")
        return ops.cast(self.joint_classifier(features), "float32")[:, :: self.num_transforms]

    def features_and_joint_logits(
        self, images: KerasTensor, training: bool
    ) -> tuple[KerasTensor, KerasTensor]:
        """Features `(batch, M, dim)` of the M transforms and float32 logits `(batch, M, num_classes * M)`."""
        transformed = ops.reshape(self.transformed(images), (-1, *images.shape[1:]))
        features = self.encode(self.encoder, transformed, training)
        joint = ops.cast(self.joint_classifier(features), "float32")
        return tuple(ops.reshape(x, (-1, self.num_transforms, x.shape[-1])) for x in (features, joint))

    def aggregated(self, joint: KerasTensor) -> KerasTensor:
        """The mean over transforms of the logits `(batch, num_classes)` that each gives its own labels."""
        number = self.num_transforms
        own = [joint[:, j, j::number] for j in range(number)]
        return ops.mean(ops.stack(own, axis=1), axis=1)

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Cross entropy with the joint labels, and the self-distillation."""
        (view,) = views if isinstance(views, (tuple, list)) else (views,)
        labels = self.needed(labels)
        features, joint = self.features_and_joint_logits(view, training)
        rows = ops.reshape(joint, (-1, joint.shape[-1]))
        terms = {
            "joint": self.joint_weight * self.cross_entropy(rows, joint_labels(labels, self.num_transforms))
        }
        features, aggregated = features[:, 0], self.aggregated(joint)
        single = self.single_logits(features)
        if self.self_distillation:
            terms["cross_entropy"] = self.cross_entropy(single, labels)
            terms["kd"] = kd(single, aggregated, self.temperature)
        logits = aggregated if self.inference == "aggregated" else single
        return terms, {"features": features, "logits": logits}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "transform": self.transform,
            "self_distillation": self.self_distillation,
            "inference": self.inference,
            "temperature": self.temperature,
            "joint_weight": self.joint_weight,
        }


def joint_labels(labels: KerasTensor, num_transforms: int) -> KerasTensor:
    """`(batch * num_transforms,)`: label * num_transforms + transform, -1 where the label is unknown."""
    joint = labels[:, None] * num_transforms + ops.arange(num_transforms, dtype="int32")
    return ops.reshape(ops.where(labels[:, None] < 0, -1, joint), (-1,))
