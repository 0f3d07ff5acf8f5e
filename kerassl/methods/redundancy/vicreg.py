"""VICReg: views agree, every dimension of the embedding varies, no two dimensions vary together.

"VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", arXiv 2105.04906,
equations 1 to 6. Official code: facebookresearch/vicreg, `main_vicreg.py`.

- Each view goes through batch norm separately.
- Variances and covariances are computed over the global batch, with gradients of all replicas.
- The variance terms of the two views are averaged and their covariance terms summed, as in the official
  code; equation 6 sums both.
- Large images take BYOL's views, as in the official code; in the paper's text both views have the same
  distribution.
"""

from collections.abc import Callable

from keras import KerasTensor, Model, ops

from kerassl.heads import mlp
from kerassl.losses import off_diagonal_covariance, variance_hinge
from kerassl.training import Batch, Common, Outputs, PositiveInt, Recipe, SSLModel, Unpack

VICREG_PAPER = {"optimizer": "lars", "learning_rate": 0.2, "weight_decay": 1e-6, "warmup_epochs": 10}


class VICReg(SSLModel):
    """VICReg (arXiv 2105.04906).

    Args:
        invariance: weight of the squared distance between views, lambda in the paper; >= 0.
        variance: weight of the hinge on each dimension's standard deviation, mu in the paper; >= 0.
        covariance: weight of the squared covariances between dimensions, nu in the paper; >= 0.
        projection_dim: width of the embedding; wide embeddings work better.
        hidden_dim: width of the head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for a negative weight.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.VICReg(encoder, projection_dim=64, hidden_dim=64)
        >>> model.projector.output_shape
        (None, 64)
    """

    family = "redundancy"
    default_views = ("vicreg_cifar", "byol")
    terms = ("invariance", "variance", "covariance")

    # arXiv 2105.04906 section 4.2.
    recipes = {
        "vicreg": Recipe(paper=VICREG_PAPER, short_arguments={"hidden_dim": 1024, "projection_dim": 1024})
    }

    def __init__(
        self,
        encoder: Model,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        projection_dim: PositiveInt = 8192,
        hidden_dim: PositiveInt = 8192,
        **common: Unpack[Common],
    ) -> None:
        weights = dict(zip(VICReg.terms, (invariance, variance, covariance), strict=True))
        for argument, value in weights.items():
            if value < 0:
                raise ValueError(f"{argument} must be >= 0, got {value}.")
        super().__init__(encoder, **common)
        self.term_weights = weights
        self.projector = mlp(
            self.feature_dim, (hidden_dim, hidden_dim), projection_dim, hidden_bias=True, name="projector"
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Distance between the views, and variance and covariance of each over the global batch."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)
        distance, variance, covariance = self.measure(z1, z2)
        terms = {
            "invariance": self.term_weights["invariance"] * distance,
            "variance": self.term_weights["variance"] * variance,
            "covariance": self.term_weights["covariance"] * 2 * covariance,
        }
        return Outputs(terms, features=features)

    def measure(
        self, z1: KerasTensor, z2: KerasTensor, covariance: Callable = off_diagonal_covariance
    ) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """Squared distance of two embeddings, and their variance and covariance terms, mean of the two."""
        z1, z2 = ops.cast(z1, "float32"), ops.cast(z2, "float32")
        everyone = self.gather(z1), self.gather(z2)
        return (
            ops.mean(ops.square(z1 - z2)),
            sum(variance_hinge(z) for z in everyone) / 2,
            sum(covariance(z) for z in everyone) / 2,
        )
