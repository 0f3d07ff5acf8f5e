"""FroSSL: flatten the spectrum of the embeddings of every view, and pull the views together.

"FroSSL: Frobenius Norm Minimization for Efficient Multiview Self-Supervised Learning", arXiv 2310.02903,
section 4. Official code: OFSkean/FroSSL, `solo/methods/frossl.py`, `solo/losses/frossl.py`.

- The views go through the encoder one after the other, so batch norm sees each view by itself.
- The official views of small images jitter twice as strongly and blur; here they are `simclr_cifar`.
- The loss is that of the global batch; the official code takes that of each device's share.
"""

import keras
from keras import KerasTensor

from kerassl.heads import mlp
from kerassl.losses import frossl
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class FroSSL(SSLModel):
    """FroSSL (arXiv 2310.02903).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`simclr_cifar` up to 64 pixels, else `simclr_imagenet`), a recipe's name, a views
            layer, or `None` for data that holds at least two views.
        num_classes: number of classes for the online probe; `None` for none.
        num_views: views of each image that a named recipe makes.
        invariance_weight: weight of the distance of the views from their mean; > 0. The official runs take
            1 on CIFAR-10 and ImageNet-100, 1.4 on STL-10 and 2 on ImageNet.
        projection_dim: width of the embedding. The distance counts in proportion to its ratio to the batch, 4
            in the official runs.
        hidden_dim: width of the head's two hidden layers.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than two views or a weight <= 0.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.FroSSL(encoder, hidden_dim=64, projection_dim=32)
        >>> model.projector.output_shape
        (None, 32)
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_views: int = 2,
        invariance_weight: float = 1.0,
        projection_dim: int = 1024,
        hidden_dim: int = 2048,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if invariance_weight <= 0:
            raise ValueError(
                f"invariance_weight must be > 0, got {invariance_weight}; the paper uses 1 to 2."
            )
        super().__init__(
            encoder,
            views=views,
            default_views=("simclr_cifar", "simclr_imagenet"),
            num_views=num_views,
            terms=("frossl",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_views = num_views
        self.invariance_weight = invariance_weight
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(self.feature_dim, (hidden_dim, hidden_dim), projection_dim, name="projector")

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Negated entropy of each view's spectrum, and the views' distance from their mean."""
        if len(views) < 2:
            raise ValueError(f"FroSSL pulls views of one image together; it needs two, got {len(views)}.")
        features = [self.encode(self.encoder, view, training) for view in views]
        z = [self.gather(self.projector(f, training=training)) for f in features]
        return {"frossl": frossl(z, self.invariance_weight)}, {"features": features}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_views": self.num_views,
            "invariance_weight": self.invariance_weight,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
