"""GroCo: sort the positives and the nearest negatives of an anchor, and keep the groups apart.

"Learning by Sorting: Self-supervised Learning with Group Ordering Constraints", arXiv 2301.02009.
Official code: ninatu/learning_by_sorting, `losses/groco.py`, `configs/2views_100ep.yaml`.

- Each view goes through batch norm by itself.
- The other side of every similarity is detached, that of the positives, too.
- The projector's last Dense has no bias: the official one is frozen, and batch norm cancels it.
- Views for small images are BYOL's: the paper has none for them.
- The local crops of the official multi-crop training, anchors without being positives, are left out.
"""

import keras
from keras import KerasTensor

from kerassl.heads import mlp
from kerassl.losses import groco
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class GroCo(SSLModel):
    """GroCo (arXiv 2301.02009).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`byol_cifar` up to 64 pixels, else `groco`), a recipe's name, a views layer, or
            `None` for data that holds at least two views.
        num_classes: number of classes for the online probe; `None` for none.
        num_views: views of each image that a named recipe makes; 2 to 4 in the paper.
        num_negatives: nearest negatives of each anchor, of the global batch; 10 in the paper.
        steepness: of the sort's exchanges; > 0. 1 in the paper.
        projection_dim: width of the embedding that the loss sees.
        projection_layers: Dense layers of the head, as wide as the features but for the last.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than two views, one negative or one projection layer, or a steepness <= 0.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.GroCo(encoder, projection_dim=64)
        >>> model.projector.output_shape
        (None, 64)
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_views: int = 2,
        num_negatives: int = 10,
        steepness: float = 1.0,
        projection_dim: int = 2048,
        projection_layers: int = 3,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if num_negatives < 1:
            raise ValueError(f"num_negatives must be at least 1, got {num_negatives}; the paper uses 10.")
        if steepness <= 0:
            raise ValueError(f"steepness must be > 0, got {steepness}; the paper uses 1.")
        if projection_layers < 1:
            raise ValueError(f"projection_layers must be at least 1, got {projection_layers}.")
        super().__init__(
            encoder,
            views=views,
            default_views=("byol_cifar", "groco"),
            num_views=num_views,
            terms=("groco",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_views = num_views
        self.num_negatives = num_negatives
        self.steepness = steepness
        self.projection_dim = projection_dim
        self.projection_layers = projection_layers
        self.projector = mlp(
            self.feature_dim,
            (self.feature_dim,) * (projection_layers - 1),
            projection_dim,
            output_batch_norm="plain",
            name="projector",
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """How far the groups of positives and negatives are from being in order."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z = [self.projector(f, training=training) for f in features]
        # Each replica looks for the negatives of its own images in the whole batch.
        candidates, first_row = self.gather_candidates(*z)
        loss = groco(
            *z,
            num_negatives=self.num_negatives,
            steepness=self.steepness,
            candidates=candidates,
            first_row=first_row,
        )
        return {"groco": self.mean_over_replicas(loss)}, {"features": features}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_views": self.num_views,
            "num_negatives": self.num_negatives,
            "steepness": self.steepness,
            "projection_dim": self.projection_dim,
            "projection_layers": self.projection_layers,
        }
