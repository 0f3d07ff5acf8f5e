"""USKD: labels softened by a network's own predictions and a weak classifier within it.

"From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with Normalized Loss and
Customized Soft Labels", arXiv 2303.13005. Official code: yzd-v/cls_KD, `mmcls/models/dis_losses/uskd.py`,
`mmcls/models/classifiers/distiller.py`.

- The loss is added to the cross entropy with the labels, as in the official code.
- The mean of the target's squared probabilities covers the global batch; in the official code one device.
- Classes are ranked by probabilities, as in the paper; see `losses.uskd_non_target`.
- The weak classifier sees the stage before the last, as in the official code; in a ViT, the class token in
  the middle.
"""

import keras
from keras import ops

from kerassl.backbones.feature_maps import IntermediateFeatures, average_pool, stages_of
from kerassl.classifiers import Classifier
from kerassl.distillation.nkd import NKD_PAPER
from kerassl.losses import cross_entropy, uskd_non_target, uskd_target
from kerassl.training import Batch, Common, FractionBelowOne, NonNegativeFloat, Outputs, Recipe, Unpack


class USKD(Classifier):
    """USKD (arXiv 2303.13005): self-distillation, without a teacher.

    The weak classifier serves in training only.

    Args:
        encoder: as in `Classifier`, a functional model or a ViT of `kerassl.backbones`.
        layer: name of the encoder's layer that feeds the weak classifier, a feature map or tokens; `None` for
            the stage before the last of a ResNet, or the middle of a ViT, of `kerassl.backbones`.
        alpha: weight of the target class, at least 0; 0.1 for a ResNet-18 on CIFAR-100.
        beta: weight of the other classes, at least 0.
        mu: weight of the weak classifier's loss, at least 0; 0.1 on CIFAR-100.
        label_smoothing: smoothing of the cross entropy, in [0, 1).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for a layer that the encoder does not have, and as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.USKD(encoder, num_classes=10)
        >>> model.intermediate.names
        ('stage3_block2_relu2',)
    """

    family, terms = "distillation", ("cross_entropy", "uskd_target", "uskd_non_target", "weak")

    # As in NKD.
    recipes = {"uskd": Recipe(paper=NKD_PAPER)}

    def __init__(
        self,
        encoder: keras.Model,
        *,
        layer: str | None = None,
        alpha: NonNegativeFloat = 1.0,
        beta: NonNegativeFloat = 0.1,
        mu: NonNegativeFloat = 0.005,
        label_smoothing: FractionBelowOne = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, label_smoothing=label_smoothing, **common)
        self.is_vit = hasattr(encoder, "encode_tokens")
        if layer is None and self.is_vit:
            layer = encoder.blocks[max(encoder.depth // 2, 1) - 1].name
        layer = layer or stages_of(encoder, "USKD")[-2]
        self.intermediate = IntermediateFeatures(encoder, (layer,), "USKD")
        self.weak_classifier = keras.layers.Dense(self.num_classes, name="weak_classifier")
        self.weak_classifier.build((None, self.intermediate.shapes[0][-1]))

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy with the labels, with the soft labels, and of the weak classifier."""
        (view,) = views
        features, middle = self.encode_unpooled(self.intermediate, view, training)
        features = average_pool(features)
        logits = ops.cast(self.classifier(features), "float32")
        own = self.cross_entropy(logits, batch.labels)
        everyone, labels = self.gather(logits), self.gather(batch.labels)
        middle = middle[:, 0] if self.is_vit else average_pool(middle)
        weak = self.gather(ops.cast(self.weak_classifier(middle), "float32"))
        terms = {
            "cross_entropy": own,
            "uskd_target": self.arguments.alpha * uskd_target(everyone, labels),
            "uskd_non_target": self.arguments.beta * uskd_non_target(everyone, weak, labels),
            "weak": self.arguments.mu * cross_entropy(weak, labels, label_smoothing=0.1),
        }
        return Outputs(terms, features=features, logits=logits)
