"""CACR: attract the views of an image, the far ones most, and repel other images, the near ones most.

"Contrastive Attraction and Contrastive Repulsion for Representation Learning", arXiv 2105.03746, section 3.
Official code: JegZheng/CACR-CL.

- All views go through the encoder together.
- Gradients flow through the weights of the distances, as in the official code.
- With two views there is one positive, whose weight is 1: attraction is then plain alignment.
"""

import keras
from keras import KerasTensor, ops

from kerassl.heads import mlp
from kerassl.losses import contrastive_attraction, contrastive_repulsion
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class CACR(SSLModel):
    """CACR (arXiv 2105.03746).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`moco_cifar` up to 64 pixels, else `moco_v2`), a recipe's name, a views layer,
            or `None` for data that holds at least two views.
        num_classes: number of classes for the online probe; `None` for none.
        num_views: views of each image that a named recipe makes; 5 in the official command for CIFAR-10.
        attraction_weight: of the distances between views of an image, alpha in the official code; > 0.
        repulsion_weight: of the distances from other images, beta in the official code; > 0.
        positive_temperature: multiplies the distances in the positives' weights; > 0.
        negative_temperature: the same for the negatives' weights; > 0.
        projection_dim: width of the embedding that the loss sees.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than two views or a weight or temperature <= 0.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.CACR(encoder, num_views=5)
        >>> model.views.num_views
        5
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_views: int = 2,
        attraction_weight: float = 1.0,
        repulsion_weight: float = 1.0,
        positive_temperature: float = 1.0,
        negative_temperature: float = 0.9,
        projection_dim: int = 128,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        settings = {
            "attraction_weight": attraction_weight,
            "repulsion_weight": repulsion_weight,
            "positive_temperature": positive_temperature,
            "negative_temperature": negative_temperature,
        }
        for argument, value in settings.items():
            if value <= 0:
                raise ValueError(f"{argument} must be > 0, got {value}.")
        super().__init__(
            encoder,
            views=views,
            default_views=("moco_cifar", "moco_v2"),
            num_views=num_views,
            terms=("attraction", "repulsion"),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_views = num_views
        self.settings = settings
        self.projection_dim = projection_dim
        self.projector = mlp(self.feature_dim, (self.feature_dim,), projection_dim, name="projector")

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Attraction within images, repulsion between them."""
        if len(views) < 2:
            raise ValueError(f"CACR attracts views of one image, so it needs at least two; got {len(views)}.")
        features = self.encode(self.encoder, ops.concatenate(views), training)
        z = ops.split(self.projector(features, training=training), len(views))
        # Each replica compares its own images with the whole batch.
        candidates, first_row = self.gather_candidates(*z)
        attraction = contrastive_attraction(z, self.settings["positive_temperature"])
        repulsion = contrastive_repulsion(z, self.settings["negative_temperature"], candidates, first_row)
        terms = {
            "attraction": self.settings["attraction_weight"] * attraction,
            "repulsion": self.settings["repulsion_weight"] * self.mean_over_replicas(repulsion),
        }
        return terms, {"features": ops.split(features, len(views))}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            **self.settings,
            "num_views": self.num_views,
            "projection_dim": self.projection_dim,
        }
