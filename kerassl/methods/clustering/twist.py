"""TWIST: classify both views alike, each image with certainty, and the images of a batch into many classes.

"Self-Supervised Learning by Estimating Twin Class Distributions", arXiv 2110.07402, the objective with alpha
and beta. Official code: bytedance/TWIST, `train.py`, `objective.py`, with `--aug barlow`.

- The views go through encoder and head together, as in the official code.
- The mean distribution is that of the global batch, as in the official code, with gradients of all replicas.
- The head's last batch norm sees the global batch; in the official code, groups of 256 images.
- Exactly two views are compared. Multi-crop, the self-labeling that ends the official multi-crop runs, and
  the momentum encoder of the official ViTs are not included.
- The launcher's rate ends at 0; the official rate ends at a thousandth of its peak.
"""

from keras import Model, ops

from kerassl.heads import mlp
from kerassl.losses.clustering.twist import twist_terms
from kerassl.training import (
    Batch,
    Common,
    NonNegativeFloat,
    Outputs,
    PositiveFloat,
    PositiveInt,
    Recipe,
    SSLModel,
    Unpack,
)


class TWIST(SSLModel):
    """TWIST (arXiv 2110.07402).

    Args:
        num_prototypes: number of classes of the twin distributions, which have nothing to do with
            `num_classes` of labels; 32,768 in the official run of 800 epochs with two views.
        sharpness_weight: weight of the mean entropy of an image's distribution, alpha in the paper and 1 +
            `lam1` in the official code; >= 0.
        diversity_weight: weight of the entropy of the batch's mean distribution, beta in the paper and `lam2`
            in the official code; >= 0.
        temperature: divides the logits in both entropies, tau in the official code; > 0.
        hidden_dim: width of the head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.TWIST(encoder, num_prototypes=64, hidden_dim=64)
        >>> model.projector.output_shape
        (None, 64)
    """

    family = "clustering"
    default_views = ("barlow_twins_cifar", "barlow_twins")
    terms = ("consistency", "sharpness", "diversity")

    # bytedance/TWIST, `train.py`.
    recipes = {
        "twist": Recipe(
            paper={"optimizer": "lars", "learning_rate": 0.5, "weight_decay": 1.5e-6, "warmup_epochs": 10},
            short_arguments={"num_prototypes": 128, "hidden_dim": 512},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_prototypes: PositiveInt = 4096,
        sharpness_weight: NonNegativeFloat = 1.0,
        diversity_weight: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 1.0,
        hidden_dim: PositiveInt = 4096,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_prototypes=num_prototypes, **common)
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim, hidden_dim),
            num_prototypes,
            hidden_bias=True,
            output_bias=True,
            output_batch_norm="plain",
            name="projector",
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Divergence between the views' distributions, their entropies, and the entropy of their mean."""
        given = self.arguments
        view1, view2 = views
        features = self.encode_views(self.encoder, (view1, view2), training)
        logits = self.projector(features, training=training)
        consistency, sharpness, diversity = twist_terms(
            *ops.split(logits, 2), temperature=given.temperature, average=self.mean_over_replicas
        )
        return Outputs(
            {
                "consistency": consistency,
                "sharpness": given.sharpness_weight * sharpness,
                "diversity": -given.diversity_weight * diversity,
            },
            features=ops.split(features, 2),
            assignments=ops.argmax(logits, axis=1),
        )
