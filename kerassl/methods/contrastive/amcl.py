"""AMCL: contrast two views in several heads, with a learned temperature for every pair in every head.

"Adaptive Multi-head Contrastive Learning", arXiv 2310.05615, equation 2.1. Official code: LeiWangR/cl,
`src/models.py`, `src/amcl_components`, which does not run as released.

- The loss is our interpretation, `kerassl.losses.amcl`: the equation's maximum over negatives is a
  log-sum-exp over all candidates, without which the loss has no lower bound.
- One network gives the temperatures of all heads, as in the paper's figure; the released code has one per
  head.
- It takes unit-length embeddings, the anchor first, and is not symmetric. Gradients also reach the heads
  through the temperatures.
- Each view goes through the encoder separately, as in the released code.
- This is the paper's form on SimCLR; `AMCLMoCo` is its form on MoCo.
"""

from keras import Model, ops

from kerassl.arguments import NonNegativeFloat, PositiveFloat, PositiveInt
from kerassl.heads import PairTemperature, multi_head_mlp
from kerassl.losses import amcl
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack

AMCL_PAPER = {"optimizer": "sgd", "learning_rate": 0.03, "weight_decay": 5e-4, "warmup_epochs": 0}
SHORT_AMCL = {"min_temperature": 0.05, "max_temperature": 0.35, "temperature_hidden_dim": 32}


class AMCL(SSLModel):
    """AMCL on SimCLR (arXiv 2310.05615).

    Args:
        num_heads: projection heads, C in the paper.
        regularization: weight of the penalty on temperatures, beta in the paper; >= 0.
        min_temperature: the smallest temperature that a pair can get; > 0.
        max_temperature: the largest one. Training begins near the middle of the two.
        temperature_hidden_dim: width of the hidden layer of the network that gives the temperatures.
        projection_dim: width of each head's embedding.
        hidden_dim: width of each head's hidden layer.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for temperatures that do not satisfy 0 < minimum < maximum.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.AMCL(encoder, num_heads=3)
        >>> model.projector.output_shape
        (None, 3, 128)
    """

    family, terms, default_views = "contrastive", ("amcl",), ("simclr_cifar", "simclr_imagenet")

    recipes = {"amcl": Recipe(paper=AMCL_PAPER, short_arguments=SHORT_AMCL)}

    def __init__(
        self,
        encoder: Model,
        *,
        num_heads: PositiveInt = 3,
        regularization: NonNegativeFloat = 0.1,
        min_temperature: PositiveFloat = 1e-5,
        max_temperature: PositiveFloat = 2.0,
        temperature_hidden_dim: PositiveInt = 128,
        projection_dim: PositiveInt = 128,
        hidden_dim: PositiveInt = 512,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = multi_head_mlp(
            self.feature_dim, (hidden_dim,), projection_dim, num_heads, name="projector"
        )
        self.temperature = PairTemperature(
            projection_dim, temperature_hidden_dim, min_temperature, max_temperature
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The contrast of two views in all heads."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)
        # Each replica compares its own rows with the whole batch.
        global_batch = self.global_batch(z1, z2)
        everyone = global_batch["candidates"] or (z1, z2)
        temperatures = self.temperature(ops.concatenate([z1, z2]), ops.concatenate(everyone))
        loss = amcl(z1, z2, temperatures, self.arguments.regularization, **global_batch)
        return Outputs({"amcl": self.mean_over_replicas(loss)}, features=features)
