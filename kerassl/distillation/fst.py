"""FST: pseudo-labels from a teacher that has moved toward the student's future weights.

"Learning from Future: A Novel Self-Training Framework for Semantic Segmentation", arXiv 2209.06993. Official
code: usr922/FST, `mmseg/models/uda/{fst_d,fst_w}.py`. Without virtual steps it is self-training with a mean
teacher ("Mean teachers are better role models", arXiv 1703.01780).

In each step of FST-D, the deeper variant, the teacher follows the student by an exponential moving average
(EMA) and the student takes a virtual step on the batch, `num_virtual_steps` times; the teacher follows once
more, the student is taken back, and takes its real step with the labels of that teacher. In FST-W, the wider
one, `num_virtual_steps` students each take one virtual step from the same weights; the teacher follows their
mean, and after the real step the student.

- This class classifies images, the official code pixels: an image's pseudo-label counts if the teacher is
  confident, as in FixMatch (arXiv 2001.07685); the official code weights all pixels by the share of confident
  ones. Images are not mixed with others.
- The teacher labels a weak view and the student learns the label on a strong one; labeled images are learned
  on the weak view.
- The optimizer's state is restored with the weights; the official code keeps the changes of the virtual
  steps. Batch-norm statistics do not move in virtual steps.
- Virtual steps use the batch of the step, with newly drawn views. The official wider variant uses future
  batches; with ready views, the students of this class are all equal.
- The first step is like all others; in the official code it has no virtual steps. The moving average counts
  steps, as in the official code for few labels; the code for other domains also counts virtual steps.
- Both views go through batch norm together in the student. The teacher uses batch statistics of the weak view
  and its own moving statistics; only its weights are averaged, as in the official code.
- This is the official code for other domains, `mmseg`, where the student is the result;
  `classify_by_teacher` uses the teacher. The code for few labels, `semi_seg`, uses the teacher, which labels
  in eval mode, follows once more after the step, and leaves out the most uncertain pixels.
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.arguments import Fraction, FractionBelowOne, Literal, NonNegativeFloat, NonNegativeInt
from kerassl.classifiers import Classifier
from kerassl.losses import pseudo_label
from kerassl.losses.supervised.cross_entropy import labeled_mean
from kerassl.teachers import make_teacher, update_teacher
from kerassl.training import Batch, Common, Outputs, Recipe, Unpack

FIXMATCH_PAPER = {
    "optimizer": "sgd",
    "learning_rate": 0.12,
    "weight_decay": 5e-4,
    "warmup_epochs": 0,
    "options": {"nesterov": True, "decay_bias_and_norm": False},
}


class FST(Classifier):
    """FST-D, FST-W (arXiv 2209.06993) and, with `num_virtual_steps=0`, a mean teacher, for classification.

    Args:
        encoder: as in `Classifier`.
        num_virtual_steps: number of virtual steps in each step, at least 0. Each costs as much as a step.
        variant: "deeper" (sequential) or "wider" (parallel, averaged).
        threshold: smallest probability at which a pseudo-label counts, in [0, 1].
        unlabeled_weight: weight of the pseudo-labels' loss, at least 0.
        max_momentum: the EMA's momentum is `min(1 - 1 / (step + 1), max_momentum)`, in [0, 1].
        label_smoothing: smoothing of the cross entropy with the labels, in [0, 1).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: as `Classifier`; in `compile`, with virtual steps, for gradient accumulation or
            `nonfinite="skip"`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.FST(encoder, num_classes=10)
        >>> model.uses_virtual_steps, model.arguments.num_virtual_steps
        (True, 3)
    """

    family, terms, default_views = "distillation", ("cross_entropy", "pseudo_label"), ("ressl_cifar", "ressl")
    renamed_arguments = {"look_ahead": "num_virtual_steps", "unlabelled_weight": "unlabeled_weight"}
    # From FixMatch, arXiv 2001.07685 section 4, with batches of 64; FST's settings are for segmentation.
    recipes = {
        "fst": Recipe(
            paper=FIXMATCH_PAPER,
            digits_views="ressl_digits",
        ),
        "mean_teacher": Recipe(
            paper=FIXMATCH_PAPER,
            arguments={"num_virtual_steps": 0},
            digits_views="ressl_digits",
        ),
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        num_virtual_steps: NonNegativeInt = 3,
        variant: Literal["deeper", "wider"] = "deeper",
        threshold: Fraction = 0.968,
        unlabeled_weight: NonNegativeFloat = 1.0,
        max_momentum: Fraction = 0.999,
        label_smoothing: FractionBelowOne = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, label_smoothing=label_smoothing, **common)
        self.uses_virtual_steps = num_virtual_steps > 0
        self.supports_gradient_accumulation = not self.uses_virtual_steps
        self.teacher_encoder = make_teacher(self.encoder)
        self.teacher_classifier = make_teacher(self.classifier)

    def before_update(self, virtual: engine.VirtualSteps) -> None:
        """Moves the teacher toward the student's future."""
        momentum = self.momentum(self.clock.update)
        if self.arguments.variant == "deeper":
            for number in range(1, self.arguments.num_virtual_steps + 1):
                self.move_teacher(momentum)
                virtual.take(number)
            self.move_teacher(momentum)
            virtual.restore()
            return
        students = []
        for number in range(1, self.arguments.num_virtual_steps + 1):
            virtual.take(number)
            students.append([ops.copy(variable.value) for variable in self.learned])
            virtual.restore()
        for variable, *values in zip(self.learned, *students, strict=True):
            variable.assign(sum(values) / len(values))
        self.move_teacher(momentum)
        virtual.restore()

    @property
    def learned(self) -> list[keras.Variable]:
        """The student's weights in the moving average."""
        return self.encoder.trainable_variables + self.classifier.trainable_variables

    def momentum(self, step: KerasTensor) -> KerasTensor:
        """`min(1 - 1 / (step + 1), max_momentum)`: with one update per step, a plain mean at first."""
        return ops.minimum(1.0 - 1.0 / (ops.cast(step, "float32") + 1.0), self.arguments.max_momentum)

    def move_teacher(self, momentum: KerasTensor) -> None:
        """One step of the moving average."""
        update_teacher(self.teacher_encoder, self.encoder, momentum)
        update_teacher(self.teacher_classifier, self.classifier, momentum)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy with the labels on the weak view, with the teacher's labels on the strong one."""
        strong, weak = views
        labels = self.needed(batch.labels)
        features, logits = self.features_and_logits(ops.concatenate([weak, strong]), training)
        features, _ = ops.split(features, 2)
        logits, strong_logits = ops.split(logits, 2)
        taught = self.teacher_logits(weak, training)
        each = pseudo_label(
            self.gather(strong_logits), self.gather(taught), self.arguments.threshold, reduction="none"
        )
        # The mean over images without a label.
        unlabeled = labeled_mean(each, ops.where(self.gather(labels) < 0, 0, -1))
        terms = {
            "cross_entropy": self.cross_entropy(logits, labels),
            "pseudo_label": self.arguments.unlabeled_weight * unlabeled,
        }
        return Outputs(terms, features=features, logits=logits)

    def teacher_logits(self, images: KerasTensor, training: bool) -> KerasTensor:
        """The teacher's logits `(batch, num_classes)` of normalized images, in float32."""
        features = self.encode(self.teacher_encoder, images, training)
        return ops.cast(self.teacher_classifier(features), "float32")

    def classify_by_teacher(
        self, images: np.ndarray, batch_size: int = 256, verbose: str | int = 0
    ) -> np.ndarray:
        """As `classify`, by the teacher, whose weights are a moving average of the student's.

        Args:
            images: raw images `(n, height, width, channels)` in [0, 255].
            batch_size: number of images at a time.
            verbose: 0 for no progress bar.
        """
        return self._probabilities(
            lambda batch: self.teacher_logits(batch, False), images, batch_size, verbose
        )

    def after_update(self, state: dict) -> None:
        """The teacher follows the student, except in the deeper variant, which does so before the step."""
        if not self.uses_virtual_steps:
            self.move_teacher(self.momentum(self.clock.update + 1))
        elif self.arguments.variant == "wider":
            self.move_teacher(self.momentum(self.clock.update))
