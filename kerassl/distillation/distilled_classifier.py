"""A classifier distilled from trained classifiers on unlabeled images: the third step of SimCLR v2.

"Big Self-Supervised Models are Strong Semi-Supervised Learners", arXiv 2006.10029, section 2.3, equations 2
and 3. Official code: google-research/simclr, `colabs/distillation_self_training.ipynb`.

- The factor of the squared temperature is the official code's; the paper has none and needs none at 1.
- One batch holds labeled and unlabeled images. The teacher predicts all of them, as in equation 3; labels of
  labeled images enter with `1 - distillation_weight`.
- Student and teacher see the same view. The paper's view has a crop and a flip, and so has the default.
"""

import keras
from keras import KerasTensor

from kerassl.classifiers import Classifier
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.losses import soft_cross_entropy
from kerassl.methods.contrastive.simclr_v2 import SIMCLR_V2_PAPER
from kerassl.training import Batch, Common, Fraction, Outputs, PositiveFloat, Recipe, SSLModel, Unpack


class DistilledClassifier(Classifier):
    """A student classifier with soft labels from a teacher, or from the mean of several.

    `accuracy` is the student's on images with a label.

    Args:
        teacher: a trained `kerassl.classifiers.Classifier`, a built `keras.Model` from images to logits, a
            `FrozenTeacher` with its own preprocessing, or a list of these. They are copied and frozen.
        student: built `keras.Model` from images to features `(batch, dim)`, which gets a new linear layer; or
            a trained `Classifier`, whose encoder and linear layer continue to train.
        temperature: divides the logits of both; > 0.
        distillation_weight: weight of the teacher, in [0, 1]; the rest is the weight of the labels. At 1 no
            label is read.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for teachers, student and `num_classes` that do not agree on the number of classes.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> teacher = kerassl.classifiers.Classifier(encoder, num_classes=10)
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> kerassl.distillation.DistilledClassifier(teacher, student).num_classes
        10
    """

    family = "distillation"
    needs_labels = False
    terms = ("soft_cross_entropy",)

    # As in SimCLR v2.
    recipes = {"distilled_classifier": Recipe(paper={**SIMCLR_V2_PAPER, "warmup_epochs": 0})}

    def __init__(
        self,
        teacher: keras.Model | FrozenTeacher | list,
        student: keras.Model,
        *,
        temperature: PositiveFloat = 1.0,
        distillation_weight: Fraction = 1.0,
        **common: Unpack[Common],
    ) -> None:
        given = teacher if isinstance(teacher, (list, tuple)) else [teacher]
        if not given:
            raise ValueError("At least one teacher is needed; the list is empty.")
        for each in given:
            if isinstance(each, SSLModel) and not isinstance(each, Classifier):
                raise ValueError(
                    f"{type(each).__name__} has no classes; a teacher must be a "
                    "kerassl.classifiers.Classifier or a keras.Model from images to logits."
                )
        teachers = [
            each if isinstance(each, FrozenTeacher) else FrozenTeacher(each, name=f"teacher{i}")
            for i, each in enumerate(given)
        ]
        start = student if isinstance(student, Classifier) else None
        numbers = [each.dim for each in teachers]
        numbers += [
            n for n in (start and start.num_classes, common.pop("num_classes", None)) if n is not None
        ]
        if len(set(numbers)) != 1:
            raise ValueError(
                f"Teachers, student and num_classes must have the same classes; their numbers are {numbers}."
            )
        if distillation_weight < 1:
            self.terms = ("soft_cross_entropy", "cross_entropy")
        super().__init__(start.encoder if start else student, num_classes=numbers[0], **common)
        self.teachers = self.arguments.teacher = teachers
        self.arguments.student, self.arguments.num_classes = self.encoder, numbers[0]
        if start:
            self.classifier.set_weights(start.classifier.get_weights())

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy with the teachers, and with the labels if they have a weight."""
        (view,) = views
        features, logits = self.features_and_logits(view, training)
        teacher_logits = tuple(teacher.outputs(self, view) for teacher in self.teachers)
        terms = self.compare(logits, teacher_logits)
        if self.arguments.distillation_weight < 1:
            terms["cross_entropy"] = (1 - self.arguments.distillation_weight) * self.cross_entropy(
                logits, batch.labels
            )
        return Outputs(terms, features=features, logits=logits)

    def compare(self, logits: KerasTensor, teacher_logits: tuple[KerasTensor, ...]) -> dict:
        """The terms that need no label, from float32 logits `(batch, num_classes)`; a mean over images."""
        loss = soft_cross_entropy(logits, teacher_logits, self.arguments.temperature)
        return {"soft_cross_entropy": self.arguments.distillation_weight * loss}
