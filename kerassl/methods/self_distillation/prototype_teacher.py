"""The common base of DINO, iBOT and Mugs: a student, its EMA teacher, and a prototype head on each."""

import numpy as np
from keras import KerasTensor, Model, Variable, ops

from kerassl import engine, losses
from kerassl.heads import DINOHead
from kerassl.training import Common, Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, SSLModel, Unpack


class PrototypeTeacher(SSLModel):
    """A student with an EMA teacher, whose centered and sharpened logits assign images to prototypes.

    A subclass writes `loss_terms`. The state in its outputs has the teacher's logits of this replica's
    images, `(rows, *prototypes)`, under `"teacher_logits"`: they update the center. The center used in a step
    comes from the previous steps.

    Args:
        num_prototypes: number of prototypes K, the width of the head's output.
        student_temperature: divides the student's logits; > 0.
        teacher_temperature: divides the centered teacher logits; > 0.
        warmup_teacher_temperature: teacher temperature at the start, rising linearly to
            `teacher_temperature`.
        warmup_teacher_temperature_epochs: number of epochs of that rise.
        momentum: teacher momentum at the first update, in [0, 1]; it rises to 1 along a half cosine.
        center_momentum: EMA momentum of the center, in [0, 1].
        freeze_last_layer_epochs: number of first epochs with frozen prototypes.
        num_global_crops: number of global views; the teacher sees only these.
        hidden_dim: width of the head's hidden layers.
        bottleneck_dim: width of the embedding that is compared with the prototypes.
        use_batch_norm_in_head: whether the head's hidden layers are batch-normalized.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.
    """

    def __init__(
        self,
        encoder: Model,
        *,
        num_prototypes: PositiveInt = 65536,
        student_temperature: PositiveFloat = 0.1,
        teacher_temperature: PositiveFloat = 0.04,
        warmup_teacher_temperature: PositiveFloat = 0.04,
        warmup_teacher_temperature_epochs: NonNegativeFloat = 0,
        momentum: Fraction = 0.996,
        center_momentum: Fraction = 0.9,
        freeze_last_layer_epochs: NonNegativeFloat = 1,
        num_global_crops: PositiveInt = 2,
        hidden_dim: PositiveInt = 2048,
        bottleneck_dim: PositiveInt = 256,
        use_batch_norm_in_head: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_prototypes=self.counted_prototypes, **common)
        self.head = self.make_head("head")
        self.teacher_encoder, self.teacher_head = self.ema_teachers.of(self.encoder, self.head)
        self.center = self.make_center("center")

    @property
    def counted_prototypes(self) -> int:
        """Number of prototypes in the usage metric: those of the first head."""
        return int(np.ravel(self.arguments.num_prototypes)[0])

    def make_head(self, name: str) -> Model:
        """A projection head with prototypes; `output_dims` holds their numbers."""
        return DINOHead(self.feature_dim, name=name, **self.head_options())

    def head_options(self) -> dict:
        """The arguments common to all kinds of heads."""
        given = self.arguments
        return {
            "num_prototypes": given.num_prototypes,
            "hidden_dim": given.hidden_dim,
            "bottleneck_dim": given.bottleneck_dim,
            "use_batch_norm": given.use_batch_norm_in_head,
        }

    def make_center(self, name: str) -> Variable:
        """A running mean of logits, zero at the start."""
        shape = self.head.output_dims
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, dtype="float32")

    @property
    def embedding_encoder(self) -> Model:
        """The teacher's encoder."""
        return self.teacher_encoder

    def student_logits(self, head: Model, features: KerasTensor, training: bool) -> KerasTensor:
        """Logits of features; the prototypes get no gradient in the first epochs."""
        frozen = self.clock.before_epoch(self.arguments.freeze_last_layer_epochs)
        return head(features, training=training, frozen=frozen)

    def teacher_logits(self, head: Model, features: KerasTensor, training: bool) -> KerasTensor:
        """Logits of the teacher's features in float32, without gradient."""
        return ops.stop_gradient(ops.cast(head(features, training=training), "float32"))

    def teacher_probabilities(self, logits: KerasTensor, center: KerasTensor) -> KerasTensor:
        """Centered, sharpened probabilities of logits."""
        return losses.dino_teacher_probs(logits, center, self.teacher_temperature())

    def teacher_temperature(self) -> float | KerasTensor:
        """The teacher's temperature at this update: linear warm-up over the first epochs, then constant."""
        start, end = self.arguments.warmup_teacher_temperature, self.arguments.teacher_temperature
        return self.clock.ramp(start, end, self.arguments.warmup_teacher_temperature_epochs)

    def teacher_momentum(self) -> KerasTensor:
        """The teacher's momentum at this update: a half cosine up to 1 over the run."""
        return self.clock.cosine(self.arguments.momentum, 1.0)

    def after_update(self, state: dict) -> None:
        """Updates the center."""
        mean = engine.replica_mean(ops.mean(state["teacher_logits"], axis=0))
        rate = self.arguments.center_momentum
        self.center.assign(rate * self.center + (1 - rate) * mean)
