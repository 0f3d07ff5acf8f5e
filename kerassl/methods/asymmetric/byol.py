"""BYOL: predict a slowly moving teacher's embedding of another view, without negatives.

"Bootstrap your own latent", arXiv 2006.07733, equations 1-3.
Official code: google-deepmind/deepmind-research, `byol/byol_experiment.py`.

- The two directions are summed, as in the paper: the loss lies in [0, 8].
- Each view goes through batch norm separately, also in the teacher, which runs in training mode.
- The teacher starts as a copy of the student; the official code initializes it from another random key.
- Moving batch-norm statistics are not averaged: the teacher keeps its own.
"""

import math

from keras import KerasTensor, Model

from kerassl import losses
from kerassl.heads import mlp
from kerassl.teachers import make_teacher, update_teacher
from kerassl.training import Batch, Common, Fraction, Outputs, PositiveInt, Recipe, SSLModel, Unpack

BYOL_PAPER = {"optimizer": "lars", "learning_rate": 0.2, "weight_decay": 1.5e-6, "warmup_epochs": 10}


class BYOL(SSLModel):
    """BYOL (arXiv 2006.07733).

    Args:
        momentum: teacher momentum at the first update, in [0, 1]; it rises to 1 by a half cosine over the
            run. The paper: 0.996 for 1000 epochs, 0.99 for 100 to 300, 0.97 for 40.
        projection_dim: width of the embedding.
        hidden_dim: width of the hidden layer of projector and predictor.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.BYOL(encoder, hidden_dim=64, projection_dim=16)
        >>> len(model.teacher_encoder.trainable_variables)
        0
    """

    family, terms, default_views = "asymmetric", ("byol",), ("byol_cifar", "byol")

    # arXiv 2006.07733 section 3.3.
    recipes = {
        "byol": Recipe(
            paper=BYOL_PAPER,
            short_arguments={"hidden_dim": 512, "projection_dim": 128},
            by_updates={
                20_000: {"learning_rate": 0.45, "weight_decay": 1e-6, "arguments": {"momentum": 0.97}},
                150_000: {"learning_rate": 0.3, "weight_decay": 1e-6, "arguments": {"momentum": 0.99}},
                math.inf: {"arguments": {"momentum": 0.996}},
            },
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        momentum: Fraction = 0.996,
        projection_dim: PositiveInt = 256,
        hidden_dim: PositiveInt = 4096,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        widths = (hidden_dim,), projection_dim
        self.projector = mlp(self.feature_dim, *widths, hidden_bias=True, name="projector")
        self.predictor = mlp(projection_dim, *widths, hidden_bias=True, name="predictor")
        self.teacher_encoder = make_teacher(self.encoder)
        self.teacher_projector = make_teacher(self.projector)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Squared distance between normalized predictions and teacher projections, both directions."""

        def student(view: KerasTensor):
            features = self.encode(self.encoder, view, training)
            return self.predictor(self.projector(features, training=training), training=training), features

        def teacher(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return self.teacher_projector(features, training=training)

        (p1, features1), (p2, features2) = student(views[0]), student(views[1])
        z1, z2 = teacher(views[0]), teacher(views[1])
        loss = losses.byol(p1, self.target(z2)) + losses.byol(p2, self.target(z1))
        return Outputs({"byol": loss}, features=(features1, features2), state={"targets": z1})

    def target(self, z: KerasTensor) -> KerasTensor:
        """The target of the other view's prediction: the teacher's projection."""
        return z

    def after_update(self, state: dict) -> None:
        """Updates the teacher."""
        momentum = self.clock.cosine(self.arguments.momentum, 1.0)
        update_teacher(self.teacher_encoder, self.encoder, momentum)
        update_teacher(self.teacher_projector, self.projector, momentum)
