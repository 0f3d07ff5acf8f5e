"""AMCL on Barlow Twins: several heads, with a temperature for every entry of their cross-correlations.

"Adaptive Multi-head Contrastive Learning", arXiv 2310.05615, equation 2.3. Official code: LeiWangR/cl, which
does not include this form.

- The loss is our interpretation, `kerassl.losses.amcl_barlow_twins`: the equation's loss has no lower bound.
- The temperatures are weights, one for each pair of dimensions in each head: the paper does not say what
  would predict them. They start at 1, where the method is Barlow Twins in several heads.
- As in `BarlowTwins`, the views go through the encoder separately, and the correlation is computed
  over the global batch.
"""

from keras import Model

from kerassl.arguments import NonNegativeFloat, PositiveFloat, PositiveInt
from kerassl.heads import DimensionTemperature, multi_head_mlp
from kerassl.losses import amcl_barlow_twins
from kerassl.methods.asymmetric.byol import BYOL_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class AMCLBarlowTwins(SSLModel):
    """AMCL on Barlow Twins (arXiv 2310.05615).

    Args:
        num_heads: projection heads, C in the paper.
        regularization: weight of the penalty on temperatures, beta in the paper; >= 0.
        min_temperature: the smallest temperature that an entry can get; > 0.
        max_temperature: the largest temperature; > 1, the initial value.
        redundancy_weight: weight of the off-diagonal terms, lambda in the paper; >= 0.
        projection_dim: width of each head's embedding; a head has `projection_dim ** 2` temperatures.
        hidden_dim: width of each head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for temperatures that do not satisfy 0 < minimum < 1 < maximum.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.AMCLBarlowTwins(encoder, projection_dim=64, hidden_dim=64)
        >>> model.projector.output_shape
        (None, 3, 64)
    """

    family, terms, default_views = "redundancy", ("amcl",), ("barlow_twins_cifar", "barlow_twins")

    # As in Barlow Twins.
    recipes = {
        "amcl_barlow_twins": Recipe(
            paper=BYOL_PAPER, short_arguments={"hidden_dim": 512, "projection_dim": 512}
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_heads: PositiveInt = 3,
        regularization: NonNegativeFloat = 0.1,
        min_temperature: PositiveFloat = 0.1,
        max_temperature: PositiveFloat = 10.0,
        redundancy_weight: NonNegativeFloat = 0.0051,
        projection_dim: PositiveInt = 2048,
        hidden_dim: PositiveInt = 2048,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = multi_head_mlp(
            self.feature_dim,
            (hidden_dim, hidden_dim),
            projection_dim,
            num_heads,
            hidden_batch_norm=True,
            name="projector",
        )
        self.temperature = DimensionTemperature(num_heads, projection_dim, min_temperature, max_temperature)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Distance of all heads' cross-correlation matrices from the identity."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.gather(self.projector(f, training=training)) for f in features)
        temperatures = self.temperature.of_pairs()
        loss = amcl_barlow_twins(
            z1, z2, temperatures, self.arguments.redundancy_weight, self.arguments.regularization
        )
        return Outputs({"amcl": loss}, features=features)
