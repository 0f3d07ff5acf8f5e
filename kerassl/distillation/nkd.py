"""NKD: labels, and a teacher's separately normalized distribution over the other classes.

"From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with Normalized Loss and
Customized Soft Labels", arXiv 2303.13005. Official code: yzd-v/cls_KD, `mmcls/models/dis_losses/nkd.py`.

- The loss is added to the cross entropy with the labels, as in the official code.
- The student is an encoder and a linear layer; both see one view, the teacher in eval mode. The official
  training loop puts the teacher back into training mode.
"""

import keras

from kerassl.arguments import FractionBelowOne, NonNegativeFloat, PositiveFloat
from kerassl.classifiers import Classifier
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.losses import nkd
from kerassl.training import Batch, Common, Outputs, Recipe, Unpack

NKD_PAPER = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4, "warmup_epochs": 0}


class NKD(Classifier):
    """NKD (arXiv 2303.13005).

    Args:
        teacher: a trained classifier: a `kerassl.classifiers.Classifier`, whose preprocessing is also used,
            or a built `keras.Model` from images to logits. It is copied and frozen.
        student: built `keras.Model` from images to features `(batch, dim)`; a linear classifier is added.
        gamma: weight of the classes other than the target, at least 0; 3.5 on CIFAR-100.
        temperature: divides the logits of those classes; > 0; 3 on CIFAR-100.
        label_smoothing: smoothing of the cross entropy, in [0, 1).
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into the inputs that the
            teacher was trained on, if that differs from the student's views.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for a teacher of another number of classes, and as `Classifier`.

    Example:
        >>> import kerassl
        >>> large = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> teacher = kerassl.classifiers.Classifier(large, num_classes=10)
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> kerassl.distillation.NKD(teacher, student).num_classes
        10
    """

    family, terms = "distillation", ("cross_entropy", "nkd")

    # yzd-v/cls_KD, `configs/resnet`.
    recipes = {"nkd": Recipe(paper=NKD_PAPER)}

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        gamma: NonNegativeFloat = 1.5,
        temperature: PositiveFloat = 1.0,
        label_smoothing: FractionBelowOne = 0.0,
        teacher_preprocess: keras.layers.Layer | None = None,
        **common: Unpack[Common],
    ) -> None:
        frozen = FrozenTeacher(teacher, teacher_preprocess)
        num_classes = common.pop("num_classes", None)
        if num_classes is not None and num_classes != frozen.dim:
            raise ValueError(
                f"The teacher gives {frozen.dim} logits, but num_classes is {num_classes}: NKD needs a "
                "classifier of the same classes. Use SSLD, SEED or RKD with a teacher that gives features."
            )
        super().__init__(student, num_classes=frozen.dim, label_smoothing=label_smoothing, **common)
        self.teacher = frozen
        self.teacher.becomes_argument(self.arguments)
        self.arguments.num_classes = frozen.dim

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy with the labels, and the comparison with the teacher."""
        (view,) = views
        features, logits = self.features_and_logits(view, training)
        cross_entropy = self.cross_entropy(logits, batch.labels)
        everyone = (self.gather(x) for x in (logits, self.teacher.outputs(self, view), batch.labels))
        terms = {
            "cross_entropy": cross_entropy,
            "nkd": nkd(*everyone, gamma=self.arguments.gamma, temperature=self.arguments.temperature),
        }
        return Outputs(terms, features=features, logits=logits)
