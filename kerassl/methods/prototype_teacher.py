"""What DINO, iBOT and Mugs share: a student, its moving-average teacher, and a head of prototypes on each."""

import keras
from keras import KerasTensor, ops

from kerassl import engine, losses, schedules
from kerassl.heads import DINOHead
from kerassl.training.model import SSLModel
from kerassl.teachers import make_teacher, update_teacher


class PrototypeTeacher(SSLModel):
    """A student whose teacher says, by centred and sharpened logits, to which prototypes an image belongs.

    A method of this kind writes `loss_terms`, whose second result has the teacher's logits of this replica's
    images, `(rows, *prototypes)`, under `"teacher_logits"`: they move the centre. That used in a step is of
    the steps before.

    Args:
        encoder: as in `SSLModel`.
        views: as in `SSLModel`.
        num_classes: as in `SSLModel`.
        default_views: as in `SSLModel`.
        shown_prototypes: prototypes whose usage is a metric; by default `num_prototypes`.
        own_options: the method's further arguments, which join `options` and the config.
        num_prototypes: width K of the head's output.
        student_temperature: divides the student's logits; > 0.
        teacher_temperature: divides the centred teacher logits; > 0.
        warmup_teacher_temperature: teacher temperature at the start, rising linearly to
            `teacher_temperature`.
        warmup_teacher_temperature_epochs: epochs of that rise.
        momentum: of the teacher at the first update, in [0, 1]; it rises to 1 by a half cosine over the run.
        center_momentum: of the centre, in [0, 1].
        freeze_last_layer_epochs: epochs in which the prototypes do not move.
        num_global_crops: how many of the views are global ones; the teacher sees only these.
        hidden_dim: width of the head's hidden layers.
        bottleneck_dim: width of the embedding that meets the prototypes.
        use_batch_norm_in_head: whether the head's hidden layers are batch-normalised.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0 or a momentum outside [0, 1].
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None,
        num_classes: int | None,
        *,
        default_views: tuple[str, str],
        shown_prototypes: int | None = None,
        own_options: dict,
        num_prototypes: int | tuple[int, ...],
        student_temperature: float = 0.1,
        teacher_temperature: float,
        warmup_teacher_temperature: float = 0.04,
        warmup_teacher_temperature_epochs: int,
        momentum: float = 0.996,
        center_momentum: float = 0.9,
        freeze_last_layer_epochs: int = 1,
        num_global_crops: int = 2,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        use_batch_norm_in_head: bool = False,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        for label, value in (
            ("student_temperature", student_temperature),
            ("teacher_temperature", teacher_temperature),
            ("warmup_teacher_temperature", warmup_teacher_temperature),
        ):
            if value <= 0:
                raise ValueError(f"{label} must be > 0, got {value}.")
        for label, value in (("momentum", momentum), ("center_momentum", center_momentum)):
            if not 0 <= value <= 1:
                raise ValueError(f"{label} must lie in [0, 1], got {value}.")
        super().__init__(
            encoder,
            views=views,
            default_views=default_views,
            terms=self.term_names,
            num_classes=num_classes,
            num_prototypes=shown_prototypes or num_prototypes,
            seed=seed,
            name=name,
        )
        self.options = {
            "num_prototypes": num_prototypes,
            "student_temperature": student_temperature,
            "teacher_temperature": teacher_temperature,
            "warmup_teacher_temperature": warmup_teacher_temperature,
            "warmup_teacher_temperature_epochs": warmup_teacher_temperature_epochs,
            "momentum": momentum,
            "center_momentum": center_momentum,
            "freeze_last_layer_epochs": freeze_last_layer_epochs,
            "num_global_crops": num_global_crops,
            "hidden_dim": hidden_dim,
            "bottleneck_dim": bottleneck_dim,
            "use_batch_norm_in_head": use_batch_norm_in_head,
            **own_options,
        }
        self.num_global_crops = num_global_crops
        self.head = self.make_head("head")
        self.teacher_encoder = make_teacher(self.encoder)
        self.teacher_head = make_teacher(self.head)
        self.center = self.make_center("center")

    def make_head(self, name: str) -> keras.Model:
        """A projection head with prototypes, with their numbers as `output_dims`."""
        return DINOHead(self.feature_dim, name=name, **self.head_options())

    def head_options(self) -> dict:
        """The arguments that all kinds of heads take."""
        options = self.options
        return {
            "num_prototypes": options["num_prototypes"],
            "hidden_dim": options["hidden_dim"],
            "bottleneck_dim": options["bottleneck_dim"],
            "use_batch_norm": options["use_batch_norm_in_head"],
        }

    def make_center(self, name: str) -> keras.Variable:
        """A running mean of logits, zero at the start."""
        shape = self.head.output_dims
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, dtype="float32")

    @property
    def embedding_encoder(self) -> keras.Model:
        """The teacher's encoder."""
        return self.teacher_encoder

    def student_logits(self, head: keras.Model, features: KerasTensor, training: bool) -> KerasTensor:
        """Logits of features, whose prototypes get no gradient in the first epochs."""
        frozen = self.step < self.options["freeze_last_layer_epochs"] * self.steps_per_epoch
        return head(features, training=training, frozen=frozen)

    def teacher_logits(self, head: keras.Model, features: KerasTensor, training: bool) -> KerasTensor:
        """Logits of the teacher's features in float32, without gradient."""
        return ops.stop_gradient(ops.cast(head(features, training=training), "float32"))

    def teacher_probabilities(self, logits: KerasTensor, center: KerasTensor) -> KerasTensor:
        """Centred, sharpened probabilities of logits."""
        return losses.dino_teacher_probs(logits, center, self.teacher_temperature())

    def teacher_temperature(self) -> float | KerasTensor:
        """The teacher's temperature at this update: linear warm-up over the first epochs, then constant."""
        start, end = self.options["warmup_teacher_temperature"], self.options["teacher_temperature"]
        return self.over_first_epochs(start, end, self.options["warmup_teacher_temperature_epochs"])

    def teacher_momentum(self) -> KerasTensor:
        """The teacher's momentum at this update: a half cosine up to 1 over the run."""
        return schedules.cosine(self.options["momentum"], 1.0, self.updates, self.total_updates)

    def after_update(self, aux: dict) -> None:
        """Moves the centre and the teacher."""
        mean = engine.replica_mean(ops.mean(aux["teacher_logits"], axis=0))
        rate = self.options["center_momentum"]
        self.center.assign(rate * self.center + (1 - rate) * mean)
        momentum = self.teacher_momentum()
        update_teacher(self.teacher_encoder, self.encoder, momentum)
        update_teacher(self.teacher_head, self.head, momentum)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {**super().get_config(), **self.options}
