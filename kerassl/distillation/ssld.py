"""SSLD: label-free distillation of a student from a frozen teacher on any images.

"Beyond Self-Supervision: A Simple Yet Effective Network Distillation Alternative to Improve
Backbones", arXiv 2103.05959. Official code: PaddlePaddle/PaddleClas, `ppcls/loss/dmlloss.py`.

- The paper names the Jensen-Shannon divergence; the official code halves the symmetric Kullback-Leibler
  divergence, and so does this.
- The teacher's batch norm uses batch statistics, and its moving statistics follow, as in the official code:
  76.0 instead of 75.8 % for a MobileNetV3, by the documentation of the official code.
- The paper's teacher is a classifier. A self-supervised teacher has no classes: its features,
  standardized over the batch, stand for the logits, and a linear head gives the student as many.
"""

import keras
from keras import KerasTensor, ops

from kerassl.distillation.distill import SSLD_PAPER, Distill
from kerassl.losses import ssld
from kerassl.training import Common, PositiveFloat, Recipe, SSLModel, Unpack


class SSLD(Distill):
    """SSLD (arXiv 2103.05959).

    Train on all available images, labeled or not: labels serve only the online probe (-1 for unknown).

    Args:
        teacher: a trained `SSLModel`, whose embedding and preprocessing are used, or a classifier, a built
            `keras.Model` from images to logits `(batch, num_logits)`. It is copied and frozen.
        student: built `keras.Model` from images to features `(batch, dim)`; it is trained and exported. With
            a classifier as the teacher, a student with the same number of outputs is trained directly; any
            other gets a linear head.
        temperature: divides both logits; > 0. The official code uses 1.
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into the inputs that a
            classifier teacher was trained on, if that differs from the student's views.
        standardize: whether the teacher's outputs are standardized over the batch; `None` does so for a
            self-supervised teacher.
        teacher_batch_statistics: whether the teacher's batch norm uses batch statistics.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> kerassl.distillation.SSLD(teacher, student).head.output_shape
        (None, 128)
    """

    # PaddlePaddle/PaddleClas.
    recipes = {"ssld": Recipe(paper=SSLD_PAPER)}

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        temperature: PositiveFloat = 1.0,
        teacher_preprocess: keras.layers.Layer | None = None,
        standardize: bool | None = None,
        teacher_batch_statistics: bool = True,
        **common: Unpack[Common],
    ) -> None:
        if standardize is None:
            standardize = self.arguments.standardize = isinstance(teacher, SSLModel)
        super().__init__(
            teacher,
            student,
            loss="ssld",
            # Features are not logits: a head maps the student's features to the teacher's.
            use_head=True if standardize else None,
            teacher_preprocess=teacher_preprocess,
            **common,
        )

    def compare(self, outputs: KerasTensor, targets: KerasTensor) -> dict:
        """Half the symmetric KL divergence between the two softmaxes."""
        if self.arguments.standardize:
            mean, variance = ops.moments(self.gather(targets), axes=[0])
            targets = (targets - mean) * ops.rsqrt(variance + 1e-6)
        return {"ssld": ssld(outputs / self.arguments.temperature, targets / self.arguments.temperature)}
