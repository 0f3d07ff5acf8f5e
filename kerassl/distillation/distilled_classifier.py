"""A classifier that learns what trained classifiers say of unlabelled images: the third step of SimCLR v2.

"Big Self-Supervised Models are Strong Semi-Supervised Learners", arXiv 2006.10029, section 2.3, equations 2
and 3. Official code: google-research/simclr, `colabs/distillation_self_training.ipynb`.

- The factor of the squared temperature is the official code's; the paper has none, nor need of it at 1.
- One batch holds labelled and unlabelled images. The teacher is asked of all of them, as in equation 3; the
  labels of those that have one enter by `1 - distillation_weight`.
- Student and teacher see the same view. The paper's has a crop and a flip, and so has the default.
"""

import keras
from keras import KerasTensor

from kerassl.classifiers import Classifier
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.losses import soft_cross_entropy
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class DistilledClassifier(Classifier):
    """A student classifier that is given soft labels by a teacher, or by the mean of several.

    `accuracy` is that of the student on images with a label.

    Args:
        teacher: a trained `kerassl.classifiers.Classifier`, a built `keras.Model` from images to logits, a
            `FrozenTeacher` with a preprocessing of its own, or a list of such. They are copied and frozen.
        student: built `keras.Model` from images to features `(batch, dim)`, which gets a new linear layer; or
            a trained `Classifier`, whose encoder and linear layer are trained on.
        views: `"default"` (random crop and flip), a recipe's name, a one-view layer, or `None` for data
            that holds one ready view, as `((view,), labels)`.
        num_classes: number of classes: the teachers', and so it need not be given.
        temperature: divides the logits of both; > 0.
        distillation_weight: of the teacher, in [0, 1]; the rest is that of the labels. At 1 none is read.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for teachers, student and `num_classes` that do not agree on the number of classes, a
            temperature <= 0, a weight outside of [0, 1].

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> teacher = kerassl.classifiers.Classifier(encoder, num_classes=10)
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> kerassl.distillation.DistilledClassifier(teacher, student).num_classes
        10
    """

    def __init__(
        self,
        teacher: keras.Model | FrozenTeacher | list,
        student: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        temperature: float = 1.0,
        distillation_weight: float = 1.0,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the official code uses 1.")
        if not 0 <= distillation_weight <= 1:
            raise ValueError(f"distillation_weight={distillation_weight} must be in [0, 1].")
        given = teacher if isinstance(teacher, (list, tuple)) else [teacher]
        if not given:
            raise ValueError("At least one teacher is needed; the list is empty.")
        for each in given:
            if isinstance(each, SSLModel) and not isinstance(each, Classifier):
                raise ValueError(
                    f"{type(each).__name__} has no classes to tell of; a teacher here is a "
                    "kerassl.classifiers.Classifier or a keras.Model from images to logits."
                )
        teachers = [
            each if isinstance(each, FrozenTeacher) else FrozenTeacher(each, name=f"teacher{i}")
            for i, each in enumerate(given)
        ]
        start = student if isinstance(student, Classifier) else None
        numbers = [each.dim for each in teachers]
        numbers += [n for n in (start and start.num_classes, num_classes) if n is not None]
        if len(set(numbers)) != 1:
            raise ValueError(
                "Teachers, student and num_classes must speak of the same classes; their numbers are "
                f"{numbers}."
            )
        self.distillation_weight = distillation_weight
        super().__init__(start.encoder if start else student, views, numbers[0], seed=seed, name=name)
        self.temperature = temperature
        self.teachers = teachers
        if start:
            self.classifier.set_weights(start.classifier.get_weights())

    @property
    def term_names(self) -> tuple[str, ...]:
        """The names of the terms: that of the labels where they count."""
        return ("soft_cross_entropy",) + ("cross_entropy",) * (self.distillation_weight < 1)

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Cross entropy with the teachers, and with the labels where they count."""
        (view,) = views if isinstance(views, (tuple, list)) else (views,)
        features, logits = self.features_and_logits(view, training)
        teacher_logits = tuple(teacher.outputs(self, view) for teacher in self.teachers)
        terms = self.compare(logits, teacher_logits)
        if self.distillation_weight < 1:
            terms["cross_entropy"] = (1 - self.distillation_weight) * self.cross_entropy(logits, labels)
        return terms, {"features": features, "logits": logits}

    def compare(self, logits: KerasTensor, teacher_logits: tuple[KerasTensor, ...]) -> dict:
        """The terms that need no label, from float32 logits `(batch, num_classes)`; a mean over images."""
        loss = soft_cross_entropy(logits, teacher_logits, self.temperature)
        return {"soft_cross_entropy": self.distillation_weight * loss}

    def get_config(self) -> dict:
        """The constructor's arguments; the teachers' weights are in the weights file."""
        config = super().get_config()
        del config["label_smoothing"]
        config["student"] = config.pop("encoder")
        return {
            **config,
            "teacher": [keras.saving.serialize_keras_object(teacher) for teacher in self.teachers],
            "temperature": self.temperature,
            "distillation_weight": self.distillation_weight,
        }

    @classmethod
    def from_config(cls, config: dict) -> "DistilledClassifier":
        """Rebuilds the model; all weights come from the file."""
        teachers = [keras.saving.deserialize_keras_object(teacher) for teacher in config["teacher"]]
        return super().from_config({**config, "teacher": teachers})
