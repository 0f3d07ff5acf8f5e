"""A student learns from a frozen teacher, by any loss that compares their outputs."""

from collections.abc import Callable

import keras
from keras import KerasTensor, ops

from kerassl import losses
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.heads import mlp
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class Distill(SSLModel):
    """Distillation of a student from a frozen teacher that sees the same view, without labels.

    Train on all images there are, labelled or not: labels serve only the online probe (-1 for unknown).

    Args:
        teacher: what to learn from: a trained `SSLModel`, whose embedding and preprocessing are used, or a
            built `keras.Model` from images to logits or features. It is copied and frozen, and runs in eval
            mode.
        student: built `keras.Model` from images to features `(batch, dim)`: what is trained and exported.
        views: `"default"` (random crop and flip), a recipe's name, a one-view layer, or `None` for data
            that holds one ready view, as `((view,), labels)`.
        num_classes: number of classes for the online probe; `None` for none.
        loss: `function(student_outputs, teacher_outputs) -> scalar`, or the name of one of `kerassl.losses`,
            such as "kd". It sees the global batch. A function of your own is registered with
            `keras.saving.register_keras_serializable`, if the model is to be saved.
        loss_options: further keyword arguments of the loss, such as `{"temperature": 2.0}`.
        use_head: whether a linear head makes the student's outputs as wide as the teacher's; `None` for a
            student of another width only.
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into what the teacher was
            trained on, if that differs from the student's views.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for an unknown loss.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.Distill(teacher, student, loss="rkd_distance", use_head=False)
        >>> model.head is None
        True
    """

    # The names of the terms in the logs, where there is more than the loss.
    term_names: tuple[str, ...] | None = None
    # Whether the teacher's batch norm takes the statistics of the batch.
    teacher_batch_statistics = False

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        loss: Callable | str = "kd",
        loss_options: dict | None = None,
        use_head: bool | None = None,
        teacher_preprocess: keras.layers.Layer | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if isinstance(loss, str) and loss not in losses.__all__:
            raise ValueError(
                f"loss={loss!r} is not in kerassl.losses; pass a name that is, such as 'kd', or a function."
            )
        super().__init__(
            student,
            views=views,
            default_views=("crop_flip", "crop_flip"),
            terms=self.term_names or (loss if isinstance(loss, str) else loss.__name__,),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.loss_function = getattr(losses, loss) if isinstance(loss, str) else loss
        self.named_loss = loss
        self.loss_options = dict(loss_options or {})
        self.teacher = FrozenTeacher(teacher, teacher_preprocess)
        self.use_head = use_head
        self.head = self.make_head()

    def make_head(self) -> keras.Sequential | None:
        """The linear head, if there is to be one."""
        if self.use_head or (self.use_head is None and self.teacher.dim != self.feature_dim):
            return mlp(self.feature_dim, (), self.teacher.dim, output_bias=True, name="head")
        return None

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """The comparison of student and teacher on one view."""
        (view,) = views if isinstance(views, (tuple, list)) else (views,)
        features = self.encode(self.encoder, view, training)
        outputs = features if self.head is None else self.head(features, training=training)
        targets = self.teacher.outputs(self, view, training and self.teacher_batch_statistics)
        terms = self.compare(ops.cast(outputs, "float32"), targets)
        return terms, {"features": features, "targets": targets}

    def compare(self, outputs: KerasTensor, targets: KerasTensor) -> dict:
        """The terms of the loss, from the outputs of student and teacher, float32 `(batch, dim)`."""
        loss = self.loss_function(self.gather(outputs), self.gather(targets), **self.loss_options)
        return {self.term_means[0].name: loss}

    def get_config(self) -> dict:
        """The constructor's arguments; the teacher's weights are in the weights file."""
        config = super().get_config()
        config["student"] = config.pop("encoder")
        teacher = self.teacher.get_config()
        config["teacher"], config["teacher_preprocess"] = teacher["network"], teacher["preprocess"]
        if type(self) is not Distill:
            # A subclass has a loss of its own.
            return config
        return {
            **config,
            "loss": keras.saving.serialize_keras_object(self.named_loss),
            "loss_options": self.loss_options,
            "use_head": self.use_head,
        }
