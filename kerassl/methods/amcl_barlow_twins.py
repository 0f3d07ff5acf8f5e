"""AMCL on Barlow Twins: several heads, and a temperature for every entry of their cross-correlations.

"Adaptive Multi-head Contrastive Learning", arXiv 2310.05615, equation 2.3. Official code: LeiWangR/cl, which
has nothing of this form.

- The loss is a reading of ours, `kerassl.losses.amcl_barlow_twins`: that of the equation has no lower bound.
- The temperatures are weights, one for each pair of dimensions in each head: the paper does not say what else
  they would be made from. They begin at 1, where the method is Barlow Twins in several heads.
- As in `BarlowTwins`, the views go through the encoder one after the other, and the correlation is that of
  the global batch.
"""

import keras
from keras import KerasTensor

from kerassl.heads import DimensionTemperature, multi_head_mlp
from kerassl.losses import amcl_barlow_twins
from kerassl.losses._common import check_not_negative
from kerassl.losses.amcl import check_regularization
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class AMCLBarlowTwins(SSLModel):
    """AMCL on Barlow Twins (arXiv 2310.05615).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`barlow_twins_cifar` up to 64 pixels, else `barlow_twins`), a recipe's name, a
            views layer, or `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none.
        num_heads: projection heads, C in the paper.
        regularization: weight of the penalty on temperatures, beta in the paper; >= 0.
        min_temperature: the smallest temperature that an entry can get; > 0.
        max_temperature: the largest; > 1, where training begins.
        redundancy_weight: weight of the off-diagonal terms, lambda in the paper; >= 0.
        projection_dim: width of each head's embedding; its square is the number of a head's temperatures.
        hidden_dim: width of each head's two hidden layers.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than one head, a regularization or `redundancy_weight` below 0, or temperatures
            that do not fulfil 0 < minimum < 1 < maximum.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.AMCLBarlowTwins(encoder, projection_dim=64, hidden_dim=64)
        >>> model.projector.output_shape
        (None, 3, 64)
    """

    term_names = ("amcl",)

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_heads: int = 3,
        regularization: float = 0.1,
        min_temperature: float = 0.1,
        max_temperature: float = 10.0,
        redundancy_weight: float = 0.0051,
        projection_dim: int = 2048,
        hidden_dim: int = 2048,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        check_regularization(regularization)
        check_not_negative("redundancy_weight", redundancy_weight)
        super().__init__(
            encoder,
            views=views,
            default_views=("barlow_twins_cifar", "barlow_twins"),
            terms=self.term_names,
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_heads = num_heads
        self.regularization = regularization
        self.min_temperature = min_temperature
        self.max_temperature = max_temperature
        self.redundancy_weight = redundancy_weight
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = multi_head_mlp(
            self.feature_dim,
            (hidden_dim, hidden_dim),
            projection_dim,
            num_heads,
            hidden_batch_norm=True,
            name="projector",
        )
        self.temperature = DimensionTemperature(num_heads, projection_dim, min_temperature, max_temperature)

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Distance of all heads' cross-correlation matrices from the identity."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.gather(self.projector(f, training=training)) for f in features)
        temperatures = self.temperature.of_pairs()
        loss = amcl_barlow_twins(z1, z2, temperatures, self.redundancy_weight, self.regularization)
        return {"amcl": loss}, {"features": features}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "regularization": self.regularization,
            "min_temperature": self.min_temperature,
            "max_temperature": self.max_temperature,
            "redundancy_weight": self.redundancy_weight,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
