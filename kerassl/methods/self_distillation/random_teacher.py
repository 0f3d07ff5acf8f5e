"""Random teachers: distillation from a randomly initialized teacher, which the student surpasses.

"Random Teachers are Good Teachers", arXiv 2302.12091, equations 1 and 2. Official code: safelix/dinopl.

- Only the distillation of self-distillation remains: no augmentation, no moving average, no center, no
  temperatures; student and teacher see the same image.
- The teacher is in eval mode, as in the official code: its batch norm has the initial statistics and does
  nothing, while the student's batch norm uses batch statistics.
- The head's prototypes are unit vectors, as in the paper's appendix A; the official code learns their norms.
- Weights without a random initialization, for example zero biases, start as the teacher's.
- The embedding is the student's.
"""

import numpy as np
from keras import Model, ops

from kerassl.heads import DINOHead
from kerassl.losses import kd
from kerassl.teachers import make_teacher
from kerassl.training import Batch, Common, Fraction, Outputs, PositiveInt, Recipe, SSLModel, Unpack


class RandomTeacher(SSLModel):
    """Distillation from a random teacher (arXiv 2302.12091).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`, with random weights. The teacher
            is a copy of it, and the student starts near the teacher.
        locality: alpha in the paper, in [0, 1]. The student starts at `((1 - alpha) teacher + alpha other) /
            sqrt(alpha^2 + (1 - alpha)^2)`, where the other weights have the teacher's distribution: at 0
            equal to the teacher, which leaves nothing to learn without batch norm, at 1 independent of it.
            The official 1e-10 is 0 in float32 for most weights.
        output_dim: number of logits that the student learns.
        hidden_dim: width of the head's two hidden layers.
        bottleneck_dim: width of the normalized embedding before the last layer.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: if the encoder's initializers draw the same weights each time; in training, for more than
            one view.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.RandomTeacher(encoder, output_dim=128, hidden_dim=64)
        >>> tuple(model.head.prototypes.shape)
        (256, 128)
    """

    family, terms, default_views = "self_distillation", ("kd",), ("unaugmented", "unaugmented")

    # arXiv 2302.12091 section 3, with Adam.
    recipes = {
        "random_teacher": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0},
            short={"learning_rate": 1e-2, "weight_decay": 0.0},
            short_arguments={"output_dim": 1024, "hidden_dim": 512, "bottleneck_dim": 128},
            # A teacher whose residual branches begin at zero sees little.
            backbone_args={"zero_init_residual": False},
            digits_views="default",
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        locality: Fraction = 0.01,
        output_dim: PositiveInt = 65536,
        hidden_dim: PositiveInt = 2048,
        bottleneck_dim: PositiveInt = 256,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.head = DINOHead(
            self.feature_dim, num_prototypes=output_dim, hidden_dim=hidden_dim, bottleneck_dim=bottleneck_dim
        )
        # It begins elsewhere than the student, which is moved away from it.
        self.teacher_encoder = make_teacher(self.encoder, follows=False)
        self.teacher_head = make_teacher(self.head, follows=False)
        move_from_teacher(self.encoder, locality)
        move_from_teacher(self.head, locality)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """KL divergence of the student's distribution from the teacher's."""
        if len(views) != 1:
            raise ValueError(
                f"RandomTeacher shows student and teacher the same view; got {len(views)} views."
            )
        features = self.encode(self.encoder, views[0], training)
        teacher_features = self.encode(self.teacher_encoder, views[0], False)
        logits = self.head(features, training=training)
        targets = self.teacher_head(teacher_features, training=False)
        return Outputs({"kd": kd(logits, targets, temperature=1.0)}, features=features)


def move_from_teacher(student: Model, locality: float) -> None:
    """Mixes the random weights of a model, which are its teacher's, with newly drawn ones."""
    other = student.__class__.from_config(student.get_config())
    norm = (locality**2 + (1 - locality) ** 2) ** 0.5
    any_drawn = False
    for variable, another in zip(student.trainable_variables, other.trainable_variables, strict=True):
        mine, others = ops.convert_to_numpy(variable), ops.convert_to_numpy(another)
        drawn = mine != others
        variable.assign(np.where(drawn, ((1 - locality) * mine + locality * others) / norm, mine))
        any_drawn = any_drawn or drawn.any()
    if locality and not any_drawn:
        raise ValueError(
            f"{student.name!r} has the same weights each time that it is made, so its student cannot start "
            f"near it: leave out the seeds of its initializers."
        )
