"""SLA: joint labels of class and transform, with predictions aggregated over all transforms.

"Self-supervised Label Augmentation via Input Transformations", arXiv 1910.05872. Official code: hankook/SLA,
`trainers.py`, `augmentations.py`.

- The transforms of an image follow each other in the batch, and all go through batch norm together, as in the
  official code.
- `joint_weight` is 1 in the official code, or the number of transforms with its flag for large data sets.
- Rotations are clockwise, in the official code counterclockwise, which only renumbers the labels.
- The distillation of SLA+SD needs no labels, so it includes unlabeled images.
"""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import FractionBelowOne, Literal, NonNegativeFloat, PositiveFloat
from kerassl.classifiers import Classifier
from kerassl.losses import kd
from kerassl.training import Batch, Common, Outputs, Recipe, Unpack
from kerassl.views import color_permutations, quarter_turns

# Functions from (batch, ...) to (batch, number, ...), the original images first, and the number.
TRANSFORMS = {"rotation": (quarter_turns, 4), "color_permutation": (color_permutations, 6)}


class SLA(Classifier):
    """SLA and SLA+SD (arXiv 1910.05872).

    Args:
        encoder: as in `Classifier`; square images for rotations, three channels for permutations of colors.
        transform: "rotation", by the four quarter turns, or "color_permutation", the six orders of the
            channels.
        self_distillation: whether a second classifier learns the aggregated prediction from the original
            image (SLA+SD), and predicts in one pass.
        inference: the logits of `classify`, the accuracy and an export. "aggregated": the mean over all
            transforms, each with its own labels. "single": the original image; for SLA+SD, by the second
            classifier. `None` is "single" with self-distillation, otherwise "aggregated".
        temperature: divides the logits of the self-distillation; > 0.
        joint_weight: weight of the cross entropy with the joint labels, at least 0.
        label_smoothing: smoothing of all cross entropies, in [0, 1).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for images that cannot be transformed, and as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.SLA(encoder, num_classes=10)
        >>> model.joint_classifier.units
        40
    """

    family, terms = "distillation", ("joint",)

    # hankook/SLA, with batches of 128.
    recipes = {
        "sla": Recipe(
            paper={"optimizer": "sgd", "learning_rate": 0.2, "weight_decay": 1e-4, "warmup_epochs": 0},
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        transform: Literal["rotation", "color_permutation"] = "rotation",
        self_distillation: bool = False,
        inference: Literal["aggregated", "single"] | None = None,
        temperature: PositiveFloat = 1.0,
        joint_weight: NonNegativeFloat = 1.0,
        label_smoothing: FractionBelowOne = 0.0,
        **common: Unpack[Common],
    ) -> None:
        if self_distillation:
            self.terms = ("joint", "cross_entropy", "kd")
        super().__init__(encoder, label_smoothing=label_smoothing, **common)
        self.transformed, self.num_transforms = TRANSFORMS[transform]
        # Raises for images that this transform does not accept.
        self.transformed(keras.KerasTensor(encoder.input_shape))
        self.inference = inference or ("single" if self_distillation else "aggregated")
        self.joint_classifier = keras.layers.Dense(
            self.num_classes * self.num_transforms, name="joint_classifier"
        )
        self.joint_classifier.build((None, self.feature_dim))

    def make_classifier(self) -> keras.layers.Layer | None:
        """The second classifier of SLA+SD; without self-distillation there is none."""
        return super().make_classifier() if self.arguments.self_distillation else None

    def features_and_logits(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features of the original images, and the logits of the chosen inference."""
        if self.inference == "aggregated":
            features, joint = self.features_and_joint_logits(images, training)
            return features[:, 0], self.aggregated(joint)
        features = self.encode(self.encoder, images, training)
        return features, self.single_logits(features)

    def single_logits(self, features: KerasTensor) -> KerasTensor:
        """Float32 logits `(batch, num_classes)` from features of the original images."""
        if self.arguments.self_distillation:
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
        """Mean over transforms of each transform's logits `(batch, num_classes)` for its own labels."""
        number = self.num_transforms
        own = [joint[:, j, j::number] for j in range(number)]
        return ops.mean(ops.stack(own, axis=1), axis=1)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy with the joint labels, and the self-distillation."""
        (view,) = views
        labels = self.needed(batch.labels)
        features, joint = self.features_and_joint_logits(view, training)
        rows = ops.reshape(joint, (-1, joint.shape[-1]))
        terms = {
            "joint": self.arguments.joint_weight
            * self.cross_entropy(rows, joint_labels(labels, self.num_transforms))
        }
        features, aggregated = features[:, 0], self.aggregated(joint)
        single = self.single_logits(features)
        if self.arguments.self_distillation:
            terms["cross_entropy"] = self.cross_entropy(single, labels)
            terms["kd"] = kd(single, aggregated, self.arguments.temperature)
        logits = aggregated if self.inference == "aggregated" else single
        return Outputs(terms, features=features, logits=logits)


def joint_labels(labels: KerasTensor, num_transforms: int) -> KerasTensor:
    """`(batch * num_transforms,)`: label * num_transforms + transform, -1 where the label is unknown."""
    joint = labels[:, None] * num_transforms + ops.arange(num_transforms, dtype="int32")
    return ops.reshape(ops.where(labels[:, None] < 0, -1, joint), (-1,))
