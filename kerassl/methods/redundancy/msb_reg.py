"""MSBReg: embeddings are particles, pulled to their centroid, spread evenly and shaken at random.

"An Embedding-Dynamic Approach to Self-supervised Learning", arXiv 2207.03552. The authors' code is not
public, and neither the formula of the singular value loss nor the weights were available: this class follows
the paper's text, and our choice where the text leaves one.

- Multiview centroid loss: BYOL's distance of the prediction of each of an image's views from the centroid of
  the teacher's projections of its other views, as unit vectors; with two views, half of BYOL's loss.
- Singular value loss: `kerassl.losses.singular_value_dispersion` of each view's predictions.
- Brownian diffusive loss: the mean cosine of the predictions with a random direction, drawn anew for each
  image in each step and shared by its views. Its expectation is 0, and so is the expectation of its gradient.
- Each view goes through batch norm separately, also in the teacher, which runs in training mode.
- The singular values are computed over the global batch, with gradients of all replicas.
"""

from keras import KerasTensor, Model, ops, random

from kerassl import losses
from kerassl.arguments import Fraction, NonNegativeFloat, PositiveInt
from kerassl.heads import mlp
from kerassl.methods.asymmetric.byol import BYOL_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class MSBReg(SSLModel):
    """MSBReg (arXiv 2207.03552).

    Args:
        num_views: views of each image that a named preset makes.
        singular_value_weight: weight of the singular value loss; >= 0.
        brownian_weight: weight of the Brownian diffusive loss; >= 0.
        momentum: teacher momentum at the first update, in [0, 1]; it rises to 1 along a half cosine.
        projection_dim: width of the embedding.
        hidden_dim: width of the hidden layer of projector and predictor.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two views.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.MSBReg(encoder, num_views=4, hidden_dim=64, projection_dim=16)
        >>> model.views.num_views
        4
    """

    family = "redundancy"
    default_views = ("byol_cifar", "byol")
    terms = ("centroid", "singular_values", "brownian")

    # As in BYOL.
    recipes = {
        "msb_reg": Recipe(
            paper=BYOL_PAPER, short_arguments={"momentum": 0.99, "hidden_dim": 512, "projection_dim": 128}
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_views: PositiveInt = 2,
        singular_value_weight: NonNegativeFloat = 0.2,
        brownian_weight: NonNegativeFloat = 0.1,
        momentum: Fraction = 0.996,
        projection_dim: PositiveInt = 256,
        hidden_dim: PositiveInt = 4096,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_views=num_views, **common)
        self.projector = mlp(
            self.feature_dim, (hidden_dim,), projection_dim, hidden_bias=True, name="projector"
        )
        self.predictor = mlp(
            projection_dim, (hidden_dim,), projection_dim, hidden_bias=True, name="predictor"
        )
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The attraction to the teacher's centroid, the spread of the spectrum, and the random push."""
        if len(views) < 2:
            raise ValueError(f"MSBReg averages views of an image, so it needs two; got {len(views)}.")

        def teacher(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return self.teacher_projector(features, training=training)

        features = [self.encode(self.encoder, view, training) for view in views]
        p = [self.predictor(self.projector(f, training=training), training=training) for f in features]
        attraction = losses.centroid_attraction(p, [teacher(view) for view in views])
        everyone = [self.gather(view) for view in p]
        directions = random.normal(
            (ops.shape(everyone[0])[0], self.arguments.projection_dim),
            seed=self.clock.seed("brownian", training),
        )
        push = sum(losses.negative_cosine(view, directions) for view in everyone) / len(views)
        terms = {
            "centroid": attraction,
            "singular_values": self.arguments.singular_value_weight
            * losses.singular_value_dispersion(everyone),
            "brownian": self.arguments.brownian_weight * push,
        }
        return Outputs(terms, features=features)

    def teacher_momentum(self) -> KerasTensor:
        """Rises to 1 by a half cosine over the run."""
        return self.clock.cosine(self.arguments.momentum, 1.0)
