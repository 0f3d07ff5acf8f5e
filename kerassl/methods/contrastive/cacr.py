"""CACR: attract views of an image, the farthest most, and repel other images, the nearest most.

"Contrastive Attraction and Contrastive Repulsion for Representation Learning", arXiv 2105.03746, section 3.
Official code: JegZheng/CACR-CL.

- All views go through the encoder together.
- Gradients flow through the weights of the distances, as in the official code.
- With two views there is one positive, whose weight is 1: attraction is then plain alignment.
"""

from keras import Model, ops

from kerassl.heads import mlp
from kerassl.losses import contrastive_attraction, contrastive_repulsion
from kerassl.methods.contrastive.moco_v2 import MOCO_PAPER
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack


class CACR(SSLModel):
    """CACR (arXiv 2105.03746).

    Args:
        num_views: views of each image that a named preset makes; 5 in the official command for CIFAR-10.
        attraction_weight: weight of the distances between the views of an image, alpha in the official code.
        repulsion_weight: weight of the distances from other images, beta in the official code.
        positive_temperature: multiplies the distances in the positives' weights; > 0.
        negative_temperature: multiplies the distances in the negatives' weights; > 0.
        projection_dim: width of the embedding that the loss sees.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two views.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.CACR(encoder, num_views=5)
        >>> model.views.num_views
        5
    """

    family, terms, default_views = "contrastive", ("attraction", "repulsion"), ("moco_cifar", "moco_v2")

    # As in MoCo v2; the paper gives little of its own.
    recipes = {"cacr": Recipe(paper=MOCO_PAPER)}

    def __init__(
        self,
        encoder: Model,
        *,
        num_views: PositiveInt = 2,
        attraction_weight: PositiveFloat = 1.0,
        repulsion_weight: PositiveFloat = 1.0,
        positive_temperature: PositiveFloat = 1.0,
        negative_temperature: PositiveFloat = 0.9,
        projection_dim: PositiveInt = 128,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_views=num_views, **common)
        self.projector = mlp(self.feature_dim, (self.feature_dim,), projection_dim, name="projector")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Attraction within images, repulsion between them."""
        if len(views) < 2:
            raise ValueError(f"CACR attracts views of one image, so it needs at least two; got {len(views)}.")
        features = self.encode_views(self.encoder, views, training)
        z = ops.split(self.projector(features, training=training), len(views))
        # Each replica compares its own images with the whole batch.
        attraction = contrastive_attraction(z, self.arguments.positive_temperature)
        repulsion = contrastive_repulsion(z, self.arguments.negative_temperature, **self.global_batch(*z))
        terms = {
            "attraction": self.arguments.attraction_weight * attraction,
            "repulsion": self.arguments.repulsion_weight * self.mean_over_replicas(repulsion),
        }
        return Outputs(terms, features=ops.split(features, len(views)))
