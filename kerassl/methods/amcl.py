"""AMCL: contrast two views in several heads, with a learned temperature for every pair in every head.

"Adaptive Multi-head Contrastive Learning", arXiv 2310.05615, equation 2.1. Official code: LeiWangR/cl,
`src/models.py`, `src/amcl_components`, which does not run as released.

- The loss is a reading of ours, `kerassl.losses.amcl`: the equation's maximum over negatives is a
  log-sum-exp over all candidates, without which the loss has no lower bound.
- One network gives the temperatures of all heads, as in the paper's figure; the released code has one a head.
- It sees embeddings of length one, the anchor's first: it is not symmetric. Gradients reach the heads through
  the temperatures, too.
- Each view goes through the encoder by itself, as in the released code.
- Of the paper's forms, this is that on SimCLR; `AMCLMoCo` is that on MoCo.
"""

import keras
from keras import KerasTensor, ops

from kerassl.heads import PairTemperature, multi_head_mlp
from kerassl.losses import amcl
from kerassl.losses.amcl import check_regularization
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class AMCL(SSLModel):
    """AMCL on SimCLR (arXiv 2310.05615).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`simclr_cifar` up to 64 pixels, else `simclr_imagenet`), a recipe's name, a
            views layer, or `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none.
        num_heads: projection heads, C in the paper.
        regularization: weight of the penalty on temperatures, beta in the paper; >= 0.
        min_temperature: the smallest temperature that a pair can get; > 0.
        max_temperature: the largest. Training begins near the middle of the two.
        temperature_hidden_dim: width of the hidden layer of the network that gives the temperatures.
        projection_dim: width of each head's embedding.
        hidden_dim: width of each head's hidden layer.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than one head, a regularization below 0, or temperatures that do not fulfil
            0 < minimum < maximum.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.AMCL(encoder, num_heads=3)
        >>> model.projector.output_shape
        (None, 3, 128)
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_heads: int = 3,
        regularization: float = 0.1,
        min_temperature: float = 1e-5,
        max_temperature: float = 2.0,
        temperature_hidden_dim: int = 128,
        projection_dim: int = 128,
        hidden_dim: int = 512,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        check_regularization(regularization)
        super().__init__(
            encoder,
            views=views,
            default_views=("simclr_cifar", "simclr_imagenet"),
            terms=("amcl",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_heads = num_heads
        self.regularization = regularization
        self.min_temperature = min_temperature
        self.max_temperature = max_temperature
        self.temperature_hidden_dim = temperature_hidden_dim
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = multi_head_mlp(
            self.feature_dim, (hidden_dim,), projection_dim, num_heads, name="projector"
        )
        self.temperature = PairTemperature(
            projection_dim, temperature_hidden_dim, min_temperature, max_temperature
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """The contrast of two views in all heads."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)
        # Each replica compares its own rows with the whole batch.
        candidates, first_row = self.gather_candidates(z1, z2)
        everyone = (z1, z2) if candidates is None else candidates
        temperatures = self.temperature(ops.concatenate([z1, z2]), ops.concatenate(everyone))
        loss = amcl(z1, z2, temperatures, self.regularization, candidates=candidates, first_row=first_row)
        return {"amcl": self.mean_over_replicas(loss)}, {"features": features}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "regularization": self.regularization,
            "min_temperature": self.min_temperature,
            "max_temperature": self.max_temperature,
            "temperature_hidden_dim": self.temperature_hidden_dim,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
