"""GroCo: sort the positives and the nearest negatives of an anchor, and keep the groups apart.

"Learning by Sorting: Self-supervised Learning with Group Ordering Constraints", arXiv 2301.02009.
Official code: ninatu/learning_by_sorting, `losses/groco.py`, `configs/2views_100ep.yaml`.

- Each view goes through batch norm separately.
- The other side of every similarity is detached, including the positives'.
- The projector's last Dense has no bias: the official one is frozen, and batch norm cancels it.
- Views for small images are BYOL's; the paper defines none.
- The local crops of the official multi-crop training, which are anchors but not positives, are left out.
"""

from keras import Model

from kerassl.heads import mlp
from kerassl.losses import groco
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack


class GroCo(SSLModel):
    """GroCo (arXiv 2301.02009).

    Args:
        num_views: views of each image that a named preset makes; 2 to 4 in the paper.
        num_negatives: number of nearest negatives of each anchor in the global batch; 10 in the paper.
        steepness: steepness of the soft exchanges of the sorting network; > 0. 1 in the paper.
        projection_dim: width of the embedding that the loss sees.
        projection_layers: Dense layers of the head; all but the last are as wide as the features.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two views.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.GroCo(encoder, projection_dim=64)
        >>> model.projector.output_shape
        (None, 64)
    """

    family, terms, default_views = "contrastive", ("groco",), ("byol_cifar", "groco")

    # ninatu/learning_by_sorting, `configs/2views_100ep.yaml`.
    recipes = {
        "groco": Recipe(
            # 0.75 times 32 at the official batch of 1024.
            paper={"optimizer": "sgd", "learning_rate": 6.0, "weight_decay": 1e-6, "warmup_epochs": 1},
            short_arguments={"projection_dim": 512},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_views: PositiveInt = 2,
        num_negatives: PositiveInt = 10,
        steepness: PositiveFloat = 1.0,
        projection_dim: PositiveInt = 2048,
        projection_layers: PositiveInt = 3,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_views=num_views, **common)
        self.projector = mlp(
            self.feature_dim,
            (self.feature_dim,) * (projection_layers - 1),
            projection_dim,
            output_batch_norm="plain",
            name="projector",
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Distance of the groups of positives and negatives from the right order."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z = [self.projector(f, training=training) for f in features]
        # Each replica searches the whole batch for the negatives of its own images.
        how = {"num_negatives": self.arguments.num_negatives, "steepness": self.arguments.steepness}
        loss = groco(*z, **how, **self.global_batch(*z))
        return Outputs({"groco": self.mean_over_replicas(loss)}, features=features)
