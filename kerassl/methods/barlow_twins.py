"""Barlow Twins: make the cross-correlation of two views' embeddings the identity matrix.

"Barlow Twins: Self-Supervised Learning via Redundancy Reduction", arXiv 2103.03230, equation 1.
Official code: facebookresearch/barlowtwins, `main.py`.

- The views go through the encoder one after the other, so batch norm sees each view by itself.
- The correlation is that of the global batch, with gradients of all replicas; the official code sums
  the matrix over devices without differentiating across them.
"""

import keras
from keras import KerasTensor

from kerassl.heads import mlp
from kerassl.losses import barlow_twins
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class BarlowTwins(SSLModel):
    """Barlow Twins (arXiv 2103.03230).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`barlow_twins_cifar` up to 64 pixels, else `barlow_twins`), a recipe's name, a
            views layer, or `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none.
        redundancy_weight: weight of the off-diagonal terms, lambda in the paper; >= 0.
        projection_dim: width of the embedding; the method gains from wide ones.
        hidden_dim: width of the head's two hidden layers.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a negative `redundancy_weight`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.BarlowTwins(encoder, projection_dim=64, hidden_dim=64)
        >>> model.projector.output_shape
        (None, 64)
    """

    term_names = ("barlow_twins",)

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        redundancy_weight: float = 0.0051,
        projection_dim: int = 8192,
        hidden_dim: int = 8192,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if redundancy_weight < 0:
            raise ValueError(
                f"redundancy_weight must be >= 0, got {redundancy_weight}; the paper uses 0.0051."
            )
        super().__init__(
            encoder,
            views=views,
            default_views=("barlow_twins_cifar", "barlow_twins"),
            terms=self.term_names,
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.redundancy_weight = redundancy_weight
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(self.feature_dim, (hidden_dim, hidden_dim), projection_dim, name="projector")

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Distance of the cross-correlation matrix from the identity."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)
        loss = barlow_twins(self.gather(z1), self.gather(z2), redundancy_weight=self.redundancy_weight)
        return {"barlow_twins": loss}, {"features": features}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "redundancy_weight": self.redundancy_weight,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
