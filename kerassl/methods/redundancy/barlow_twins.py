"""Barlow Twins: make the cross-correlation of two views' embeddings the identity matrix.

"Barlow Twins: Self-Supervised Learning via Redundancy Reduction", arXiv 2103.03230, equation 1.
Official code: facebookresearch/barlowtwins, `main.py`.

- The views go through the encoder, and so through batch norm, separately.
- The correlation is computed over the global batch, with gradients of all replicas; the official code sums
  the matrix over devices without differentiating across them.
"""

from keras import Model

from kerassl.heads import mlp
from kerassl.losses import barlow_twins
from kerassl.methods.asymmetric.byol import BYOL_PAPER
from kerassl.training import Batch, Common, NonNegativeFloat, Outputs, PositiveInt, Recipe, SSLModel, Unpack


class BarlowTwins(SSLModel):
    """Barlow Twins (arXiv 2103.03230).

    Args:
        redundancy_weight: weight of the off-diagonal terms, lambda in the paper; >= 0.
        projection_dim: width of the embedding; wide embeddings work better.
        hidden_dim: width of the head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.BarlowTwins(encoder, projection_dim=64, hidden_dim=64)
        >>> model.projector.output_shape
        (None, 64)
    """

    family, terms, default_views = "redundancy", ("barlow_twins",), ("barlow_twins_cifar", "barlow_twins")

    # arXiv 2103.03230 section 2.2, whose rate of 0.0048 for biases is not used; the others are BYOL's.
    recipes = {
        "barlow_twins": Recipe(paper=BYOL_PAPER, short_arguments={"hidden_dim": 512, "projection_dim": 512})
    }

    def __init__(
        self,
        encoder: Model,
        *,
        redundancy_weight: NonNegativeFloat = 0.0051,
        projection_dim: PositiveInt = 8192,
        hidden_dim: PositiveInt = 8192,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = mlp(self.feature_dim, (hidden_dim, hidden_dim), projection_dim, name="projector")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Distance of the cross-correlation matrix from the identity."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)
        loss = barlow_twins(
            self.gather(z1), self.gather(z2), redundancy_weight=self.arguments.redundancy_weight
        )
        return Outputs({"barlow_twins": loss}, features=features)
