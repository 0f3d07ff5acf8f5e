"""MMCR: maximize the volume that the centroids of the images' views span.

"Learning Efficient Coding of Natural Images with Maximum Manifold Capacity Representations",
arXiv 2303.03307, section 3. Official code: ThomasYerxa/mmcr, `mmcr/cifar_stl/loss_mmcr.py`.

- All views go through the encoder together, as in the official code.
- The singular values are computed over the global batch, with gradients of all replicas; in the official code
  a device's gradients flow through its own rows only.
- The official variant with a teacher, for ImageNet, is not part of this class.
"""

from keras import Model, ops

from kerassl.heads import mlp
from kerassl.losses import mmcr
from kerassl.training import Batch, Common, NonNegativeFloat, Outputs, PositiveInt, Recipe, SSLModel, Unpack


class MMCR(SSLModel):
    """MMCR (arXiv 2303.03307).

    Args:
        num_views: views of each image that a named preset makes: 2 on ImageNet with batches of 2048, 40 on
            CIFAR-10 with batches of 32.
        local_weight: weight of the spread of an image's own views, lambda in the paper; >= 0.
        projection_dim: width of the embedding.
        hidden_dim: width of the head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two views.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.MMCR(encoder, num_views=4, hidden_dim=64, projection_dim=32)
        >>> model.views.num_views
        4
    """

    family, terms, default_views = "redundancy", ("mmcr",), ("moco_cifar", "byol")

    # ThomasYerxa/mmcr.
    recipes = {
        "mmcr": Recipe(
            paper={"optimizer": "lars", "learning_rate": 0.6, "weight_decay": 1e-6, "warmup_epochs": 10},
            short_arguments={"hidden_dim": 512, "projection_dim": 128},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_views: PositiveInt = 2,
        local_weight: NonNegativeFloat = 0.0,
        projection_dim: PositiveInt = 512,
        hidden_dim: PositiveInt = 8192,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_views=num_views, **common)
        self.projector = mlp(self.feature_dim, (hidden_dim, hidden_dim), projection_dim, name="projector")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The negated nuclear norm of the centroids."""
        if len(views) < 2:
            raise ValueError(f"MMCR averages views of an image, so it needs at least two; got {len(views)}.")
        features = self.encode_views(self.encoder, views, training)
        z = ops.split(self.projector(features, training=training), len(views))
        loss = mmcr([self.gather(view) for view in z], self.arguments.local_weight)
        return Outputs({"mmcr": loss}, features=ops.split(features, len(views)))
