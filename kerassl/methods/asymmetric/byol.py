"""BYOL: predict a slowly moving teacher's embedding of another view, without negatives.

"Bootstrap your own latent", arXiv 2006.07733, equations 1-3.
Official code: google-deepmind/deepmind-research, `byol/byol_experiment.py`.

- The two directions are summed, as in the paper: the loss lies in [0, 8].
- Each view goes through batch norm separately, also in the teacher, which runs in training mode.
- The teacher starts as a copy of the student; the official code initializes it from another random key.
- Moving batch-norm statistics are not averaged: the teacher keeps its own.
"""

from keras import KerasTensor, Model

from kerassl import losses
from kerassl.heads import mlp
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
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Squared distance between normalized predictions and teacher projections, both directions."""
        features = [self.encode(self.encoder, view, training) for view in views]
        p1, p2 = (self.predictor(self.projector(f, training=training), training=training) for f in features)
        targets = [self.encode(self.teacher_encoder, view, training) for view in views]
        z1, z2 = (self.teacher_projector(f, training=training) for f in targets)
        loss = losses.byol(p1, self.target(z2)) + losses.byol(p2, self.target(z1))
        return Outputs({"byol": loss}, features=features, state={"targets": z1})

    def target(self, z: KerasTensor) -> KerasTensor:
        """The target of the other view's prediction: the teacher's projection."""
        return z

    def teacher_momentum(self) -> KerasTensor:
        """Rises to 1 by a half cosine over the run."""
        return self.clock.cosine(self.arguments.momentum, 1.0)
