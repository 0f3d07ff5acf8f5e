"""SSLD: label-free distillation of a student from a frozen teacher on any images.

"Beyond Self-Supervision: A Simple Yet Effective Network Distillation Alternative to Improve
Backbones", arXiv 2103.05959. Official code: PaddlePaddle/PaddleClas, `ppcls/loss/dmlloss.py`.

- The paper names the Jensen-Shannon divergence; the official code halves the symmetric Kullback-Leibler
  divergence, and so does this.
- The teacher's batch norm takes the statistics of the batch, and its running ones follow, as there: 76.0
  instead of 75.8 % for a MobileNetV3, by the documentation of the official code.
- The paper's teacher is a classifier. A self-supervised teacher has no classes: its features,
  standardised over the batch, stand for the logits, and a linear head gives the student as many.
"""

import keras
from keras import KerasTensor, ops

from kerassl.distillation.distill import Distill
from kerassl.losses import ssld
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class SSLD(Distill):
    """SSLD (arXiv 2103.05959).

    Train on all images there are, labelled or not: labels serve only the online probe (-1 for unknown).

    Args:
        teacher: what to learn from: a trained `SSLModel`, whose embedding and preprocessing are used, or
            a classifier, a built `keras.Model` from images to logits `(batch, num_logits)`. It is copied
            and frozen.
        student: built `keras.Model` from images to features `(batch, dim)`: what is trained and exported.
            With a classifier as teacher, a student with as many outputs is trained on them directly;
            any other gets a linear head.
        views: `"default"` (random crop and flip), a recipe's name, a one-view layer, or `None` for data
            that holds one ready view, as `((view,), labels)`.
        num_classes: number of classes for the online probe; `None` for none.
        temperature: divides both logits; > 0. The official code uses 1.
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into what a classifier
            teacher was trained on, if that differs from the student's views.
        standardize: whether the teacher's outputs are standardised over the batch; `None` does so for a
            self-supervised teacher.
        teacher_batch_statistics: whether the teacher's batch norm takes the statistics of the batch.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> kerassl.distillation.SSLD(teacher, student).head.output_shape
        (None, 64)
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        temperature: float = 1.0,
        teacher_preprocess: keras.layers.Layer | None = None,
        standardize: bool | None = None,
        teacher_batch_statistics: bool = True,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the official code uses 1.")
        self.standardize = isinstance(teacher, SSLModel) if standardize is None else standardize
        super().__init__(
            teacher,
            student,
            views,
            num_classes,
            loss="ssld",
            # Features are no logits: a head makes of the student's what is to be theirs.
            use_head=True if self.standardize else None,
            teacher_preprocess=teacher_preprocess,
            seed=seed,
            name=name,
        )
        self.temperature = temperature
        self.teacher_batch_statistics = teacher_batch_statistics

    def compare(self, outputs: KerasTensor, targets: KerasTensor) -> dict:
        """Half the symmetric KL divergence between the two softmaxes."""
        if self.standardize:
            mean, variance = ops.moments(self.gather(targets), axes=[0])
            targets = (targets - mean) * ops.rsqrt(variance + 1e-6)
        return {"ssld": ssld(outputs / self.temperature, targets / self.temperature)}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "standardize": self.standardize,
            "teacher_batch_statistics": self.teacher_batch_statistics,
        }
