"""VIbCReg: VICReg on whitened embeddings, with correlations instead of covariances.

"VIbCReg: Variance-Invariance-better-Covariance Regularization for Self-Supervised Learning on Time Series",
arXiv 2109.00783, section 3. Official code: ML4ITS/vibcreg, `pypilib/vibcreg/losses.py`,
`vibcreg/frameworks/vibcreg_.py`.

- The paper is about time series; images take the views of VICReg, as in vturrisi/solo-learn.
- Each view goes through batch norm and iterative normalization separately.
- All statistics, including those of the iterative normalization, cover the global batch, with gradients of
  all replicas; the official code trains on one device.
- The variance terms of the two views are summed, as in the official code; VICReg averages them.
"""

from keras import Model

from kerassl.heads import IterNorm
from kerassl.losses import off_diagonal_correlation
from kerassl.methods.redundancy.vicreg import VICReg
from kerassl.training import Batch, Outputs, PositiveInt, Recipe


class VIbCReg(VICReg):
    """VIbCReg (arXiv 2109.00783).

    Args:
        invariance: weight of the squared distance between views; >= 0.
        variance: weight of the hinges on each dimension's standard deviation; >= 0.
        covariance: weight of the mean squared correlations between dimensions; >= 0.
        projection_dim: width of the embedding.
        hidden_dim: width of the head's two hidden layers.
        num_groups: groups of dimensions that are whitened together; must divide `projection_dim`. See
            `kerassl.heads.IterNorm`.
        **kwargs: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: if `num_groups` does not divide `projection_dim`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.VIbCReg(encoder, projection_dim=64, hidden_dim=64, num_groups=8)
        >>> model.whitening.group_size
        8
    """

    default_arguments = {"covariance": 200.0, "projection_dim": 4096, "hidden_dim": 4096}
    recipes = {
        "vibcreg": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-5, "warmup_epochs": 0},
            short_arguments={"hidden_dim": 1024, "projection_dim": 1024},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_groups: PositiveInt = 64,
        **kwargs,
    ) -> None:
        super().__init__(encoder, **kwargs)
        self.whitening = IterNorm(self.arguments.projection_dim, num_groups, name="whitening")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Distance between the whitened views, and their variances and correlations over the global batch."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z = [self.projector(f, training=training) for f in features]
        z1, z2 = (self.whitening(projection, training=training) for projection in z)
        distance, variance, correlation = self.measure(z1, z2, off_diagonal_correlation)
        terms = {
            "invariance": self.term_weights["invariance"] * distance,
            "variance": self.term_weights["variance"] * 2 * variance,
            "covariance": self.term_weights["covariance"] * 2 * correlation,
        }
        return Outputs(terms, features=features)
