"""LSSKD: classifiers within a network learn the deepest classifier's joint prediction of class and rotation.

"A Layered Self-Supervised Knowledge Distillation Framework for Efficient Multimodal Learning on the Edge",
arXiv 2506.07055. No official code was found, and this class follows the paper's summary: auxiliary
classifiers on intermediate feature maps predict class and rotation jointly, knowledge passes from deeper
layers to shallower ones along with a squared distance of features, no trained teacher is needed, and all
auxiliary parts are dropped afterwards. The rest is our interpretation, from HSAKD (arXiv 2107.13715,
winycg/HSAKD), on which it builds:

- HSAKD's trained teacher, whose stages teach the student's one to one, is replaced by the network's own
  deepest joint classifier, detached, which teaches all auxiliary ones.
- The terms are added, with HSAKD's temperature; the weight of the features is our choice.
- An auxiliary classifier is one convolution with stride 2, or one layer for a ViT's tokens, before the
  pooling; in HSAKD it has as many residual blocks as the network has left.
- All four rotations of an image go through batch norm together, as in HSAKD. The plain cross entropy uses the
  unrotated image.
"""

import keras
from keras import ops

from kerassl.arguments import FractionBelowOne, NonNegativeFloat, PositiveFloat
from kerassl.backbones.feature_maps import IntermediateFeatures, average_pool, stages_of
from kerassl.classifiers import Classifier
from kerassl.distillation.ps_kd import PS_KD_PAPER
from kerassl.distillation.sla import joint_labels
from kerassl.engine import batch_norm
from kerassl.losses import kd
from kerassl.training import Batch, Common, Outputs, Recipe, Unpack
from kerassl.views import quarter_turns

NUM_TURNS = 4


class LSSKD(Classifier):
    """LSSKD (arXiv 2506.07055) in our interpretation: self-distillation across layers, with rotations.

    Args:
        encoder: as in `Classifier`, of square images, a functional model or a ViT of `kerassl.backbones`.
        layers: names of the encoder's layers that get an auxiliary classifier, feature maps or tokens; `None`
            for all stages but the last of a ResNet or ViT of `kerassl.backbones`.
        temperature: divides the logits of the distillation; > 0.
        kd_weight: weight of the distillation, at least 0.
        feature_weight: weight of the squared distance, mean over dimensions, between an auxiliary
            classifier's features and the encoder's, at least 0.
        label_smoothing: smoothing of all cross entropies, in [0, 1).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for layers that the encoder does not have or images that are not square, and as
            `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.LSSKD(encoder, num_classes=10)
        >>> len(model.auxiliaries), model.joint_classifier.units
        (3, 40)
    """

    family, terms = "distillation", ("cross_entropy", "joint", "kd", "features")

    # From HSAKD, winycg/HSAKD, with batches of 64.
    recipes = {
        "lsskd": Recipe(
            paper=PS_KD_PAPER,
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        layers: tuple[str, ...] | None = None,
        temperature: PositiveFloat = 3.0,
        kd_weight: NonNegativeFloat = 1.0,
        feature_weight: NonNegativeFloat = 0.1,
        label_smoothing: FractionBelowOne = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, label_smoothing=label_smoothing, **common)
        # Raises for images that cannot be rotated.
        quarter_turns(keras.KerasTensor(encoder.input_shape))
        self.intermediate = IntermediateFeatures(encoder, layers or stages_of(encoder, "LSSKD")[:-1], "LSSKD")
        self.joint_classifier = self.make_joint_classifier("joint_classifier")
        self.auxiliaries = [
            auxiliary(shape, self.feature_dim, f"auxiliary_{i}")
            for i, shape in enumerate(self.intermediate.shapes, start=1)
        ]
        self.auxiliary_classifiers = [
            self.make_joint_classifier(f"auxiliary_classifier_{i}")
            for i in range(1, len(self.auxiliaries) + 1)
        ]

    def make_joint_classifier(self, name: str) -> keras.layers.Dense:
        """Maps features to logits of class and rotation."""
        layer = keras.layers.Dense(self.num_classes * NUM_TURNS, name=name)
        layer.build((None, self.feature_dim))
        return layer

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The cross entropies of all classifiers, and distillation from the deepest to the others."""
        (view,) = views
        labels = self.needed(batch.labels)
        turned = ops.reshape(quarter_turns(view), (-1, *view.shape[1:]))
        features, *maps = self.encode_unpooled(self.intermediate, turned, training)
        features = ops.cast(average_pool(features), "float32")
        deepest = ops.cast(self.joint_classifier(features), "float32")
        shallow = [branch(x, training=training) for branch, x in zip(self.auxiliaries, maps, strict=True)]
        answers = [
            ops.cast(classifier(x), "float32")
            for classifier, x in zip(self.auxiliary_classifiers, shallow, strict=True)
        ]
        joint = joint_labels(labels, NUM_TURNS)
        target = ops.stop_gradient(features)
        gaps = [ops.mean(ops.square(ops.cast(x, "float32") - target)) for x in shallow]
        upright = features[::NUM_TURNS]
        logits = ops.cast(self.classifier(upright), "float32")
        terms = {
            "cross_entropy": self.cross_entropy(logits, labels),
            "joint": sum(self.cross_entropy(answer, joint) for answer in (deepest, *answers)),
            "kd": self.arguments.kd_weight
            * sum(kd(answer, deepest, self.arguments.temperature) for answer in answers),
            "features": self.arguments.feature_weight * sum(gaps),
        }
        return Outputs(terms, features=upright, logits=logits)


def auxiliary(shape: tuple, dim: int, name: str) -> keras.Sequential:
    """Maps the feature map `(batch, h, w, channels)` or the tokens of a layer to features `(batch, dim)`."""
    with keras.name_scope(name):
        if len(shape) == 4:
            convolution = keras.layers.Conv2D(
                dim, 3, strides=2, padding="same", data_format="channels_last", use_bias=False
            )
            pool = keras.layers.GlobalAveragePooling2D(data_format="channels_last")
            layers = [convolution, batch_norm(), keras.layers.ReLU(), pool]
        else:
            norm = keras.layers.LayerNormalization(epsilon=1e-6)
            layers = [norm, keras.layers.Dense(dim, activation="gelu"), keras.layers.GlobalAveragePooling1D()]
        return keras.Sequential([keras.Input(shape[1:]), *layers], name=name)
