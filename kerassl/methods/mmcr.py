"""MMCR: make the centroids of the images' views span as much room as they can.

"Learning Efficient Coding of Natural Images with Maximum Manifold Capacity Representations",
arXiv 2303.03307, section 3. Official code: ThomasYerxa/mmcr, `mmcr/cifar_stl/loss_mmcr.py`.

- All views go through the encoder together, as in the official code.
- The singular values are those of the global batch, with gradients of all replicas; in the official code a
  device's gradients flow through its own rows alone.
- The variant with a teacher, which the official code has for ImageNet, is not in this class.
"""

import keras
from keras import KerasTensor, ops

from kerassl.heads import mlp
from kerassl.losses import mmcr
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class MMCR(SSLModel):
    """MMCR (arXiv 2303.03307).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`moco_cifar` up to 64 pixels, else `byol`), a recipe's name, a views layer, or
            `None` for data that holds at least two views.
        num_classes: number of classes for the online probe; `None` for none.
        num_views: views of each image that a named recipe makes: 2 on ImageNet with batches of 2048, 40 on
            CIFAR-10 with batches of 32.
        local_weight: weight of the spread of an image's own views, lambda in the paper; >= 0.
        projection_dim: width of the embedding.
        hidden_dim: width of the head's two hidden layers.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than two views or a negative weight.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.MMCR(encoder, num_views=4, hidden_dim=64, projection_dim=32)
        >>> model.views.num_views
        4
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_views: int = 2,
        local_weight: float = 0.0,
        projection_dim: int = 512,
        hidden_dim: int = 8192,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if local_weight < 0:
            raise ValueError(f"local_weight must be >= 0, got {local_weight}; the official code has 0.")
        super().__init__(
            encoder,
            views=views,
            default_views=("moco_cifar", "byol"),
            num_views=num_views,
            terms=("mmcr",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_views = num_views
        self.local_weight = local_weight
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(self.feature_dim, (hidden_dim, hidden_dim), projection_dim, name="projector")

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """The negated nuclear norm of the centroids."""
        if len(views) < 2:
            raise ValueError(f"MMCR averages views of an image, so it needs at least two; got {len(views)}.")
        features = self.encode(self.encoder, ops.concatenate(views), training)
        z = ops.split(self.projector(features, training=training), len(views))
        loss = mmcr([self.gather(view) for view in z], self.local_weight)
        return {"mmcr": loss}, {"features": ops.split(features, len(views))}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_views": self.num_views,
            "local_weight": self.local_weight,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
