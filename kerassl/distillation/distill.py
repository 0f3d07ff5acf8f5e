"""Distillation of a student from a frozen teacher, with any loss that compares their outputs."""

from collections.abc import Callable

import keras
from keras import KerasTensor, ops

from kerassl import losses
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.heads import mlp
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack

# PaddlePaddle/PaddleClas.
SSLD_PAPER = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4, "warmup_epochs": 5}


class Distill(SSLModel):
    """Distillation of a student from a frozen teacher that sees the same view, without labels.

    Train on all available images, labeled or not: labels serve only the online probe (-1 for unknown).

    Args:
        teacher: a trained `SSLModel`, whose embedding and preprocessing are used, or a built `keras.Model`
            from images to logits or features. It is copied and frozen, and runs in eval mode.
        student: built `keras.Model` from images to features `(batch, dim)`; it is trained and exported.
        loss: `function(student_outputs, teacher_outputs) -> scalar`, or the name of a function in
            `kerassl.losses`, for example "kd". It sees the global batch. Register a custom function with
            `keras.saving.register_keras_serializable`, if you save the model.
        loss_options: further keyword arguments of the loss, for example `{"temperature": 2.0}`.
        use_head: whether a linear head makes the student's outputs as wide as the teacher's; `None` adds one
            only if the widths differ.
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into the inputs that the
            teacher was trained on, if that differs from the student's views.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for an unknown loss.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.Distill(teacher, student, loss="rkd_distance", use_head=False)
        >>> model.head is None
        True
    """

    family, default_views = "distillation", ("crop_flip", "crop_flip")
    # As in SSLD.
    recipes = {"kd": Recipe(paper=SSLD_PAPER, arguments={"loss": "kd"})}

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        loss: Callable | str = "kd",
        loss_options: dict | None = None,
        use_head: bool | None = None,
        teacher_preprocess: keras.layers.Layer | None = None,
        **common: Unpack[Common],
    ) -> None:
        if isinstance(loss, str) and loss not in losses.__all__:
            raise ValueError(
                f"loss={loss!r} is not in kerassl.losses; pass a name from it, for example 'kd', or a "
                f"function."
            )
        if not type(self).terms:
            self.terms = (loss if isinstance(loss, str) else loss.__name__,)
        super().__init__(student, **common)
        self.loss_function = getattr(losses, loss) if isinstance(loss, str) else loss
        self.teacher = FrozenTeacher(teacher, teacher_preprocess)
        self.teacher.becomes_argument(self.arguments)
        self.head = self.make_head()

    def make_head(self) -> keras.Sequential | None:
        """The linear head, or `None`."""
        if self.arguments.use_head or (
            self.arguments.use_head is None and self.teacher.dim != self.feature_dim
        ):
            return mlp(self.feature_dim, (), self.teacher.dim, output_bias=True, name="head")
        return None

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The loss between student and teacher on one view."""
        (view,) = views
        features = self.encode(self.encoder, view, training)
        outputs = features if self.head is None else self.head(features, training=training)
        targets = self.teacher.outputs(
            self, view, training and getattr(self.arguments, "teacher_batch_statistics", False)
        )
        terms = self.compare(ops.cast(outputs, "float32"), targets)
        return Outputs(terms, features=features, state={"targets": targets})

    def compare(self, outputs: KerasTensor, targets: KerasTensor) -> dict:
        """The loss terms, from the outputs of student and teacher, float32 `(batch, dim)`."""
        loss = self.loss_function(
            self.gather(outputs), self.gather(targets), **(self.arguments.loss_options or {})
        )
        return {self.terms[0]: loss}
