"""TiCo: agree with a momentum teacher, and avoid the directions that recent embeddings occupy.

"TiCo: Transformation Invariance and Covariance Contrast for Self-Supervised Visual Representation Learning",
arXiv 2206.10698, section 3. The authors' code is not public; details as in lightly-ai/lightly,
`lightly/loss/tico_loss.py`.

- The two directions are averaged, and both views of a batch enter the moving covariance once; lightly's loss
  has one direction.
- The covariance starts at zero and includes the batch before the loss is computed.
- Each view goes through batch norm separately, also in the teacher, which runs in training mode.
"""

from keras import KerasTensor, Model, ops

from kerassl import losses
from kerassl.arguments import Fraction, FractionBelowOne, PositiveFloat, PositiveInt
from kerassl.heads import mlp
from kerassl.methods.asymmetric.byol import BYOL_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class TiCo(SSLModel):
    """TiCo (arXiv 2206.10698).

    Args:
        covariance_weight: weight of the covariance contrast, rho in the paper; > 0.
        covariance_decay: decay of the moving covariance, beta in the paper; in [0, 1).
        momentum: teacher momentum at the first update, in [0, 1]; it rises to 1 along a half cosine.
        projection_dim: width of the embedding.
        hidden_dim: width of the projector's hidden layer.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Attributes:
        covariance: variable `(projection_dim, projection_dim)`, the moving second moment of the embeddings.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.TiCo(encoder, hidden_dim=64, projection_dim=16)
        >>> tuple(model.covariance.shape)
        (16, 16)
    """

    family, terms, default_views = "redundancy", ("tico",), ("byol_cifar", "byol")

    # As in BYOL.
    recipes = {
        "tico": Recipe(
            paper=BYOL_PAPER, short_arguments={"momentum": 0.99, "hidden_dim": 512, "projection_dim": 128}
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        covariance_weight: PositiveFloat = 8.0,
        covariance_decay: FractionBelowOne = 0.9,
        momentum: Fraction = 0.996,
        projection_dim: PositiveInt = 256,
        hidden_dim: PositiveInt = 4096,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = mlp(
            self.feature_dim, (hidden_dim,), projection_dim, hidden_bias=True, name="projector"
        )
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)
        self.covariance = self.add_weight(
            name="covariance",
            shape=(projection_dim, projection_dim),
            initializer="zeros",
            trainable=False,
            dtype="float32",
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Loss of both directions, with a covariance that includes this batch."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)

        def teacher(view: KerasTensor):
            return self.teacher_projector(
                self.encode(self.teacher_encoder, view, training), training=training
            )

        target1, target2 = teacher(views[0]), teacher(views[1])
        both = ops.concatenate([self.gather(ops.stop_gradient(z)) for z in (z1, z2)])
        covariance = losses.tico_covariance(both, self.covariance, self.arguments.covariance_decay)
        loss = losses.tico(z1, target2, covariance, self.arguments.covariance_weight) + losses.tico(
            z2, target1, covariance, self.arguments.covariance_weight
        )
        return Outputs({"tico": loss / 2}, features=features, state={"covariance": covariance})

    def teacher_momentum(self) -> KerasTensor:
        """Rises to 1 by a half cosine over the run."""
        return self.clock.cosine(self.arguments.momentum, 1.0)

    def after_update(self, state: dict) -> None:
        """Stores the moved covariance."""
        self.covariance.assign(state["covariance"])
