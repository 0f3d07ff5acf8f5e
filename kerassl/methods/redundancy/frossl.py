"""FroSSL: flatten the spectrum of the embeddings of every view, and pull the views together.

"FroSSL: Frobenius Norm Minimization for Efficient Multiview Self-Supervised Learning", arXiv 2310.02903,
section 4. Official code: OFSkean/FroSSL, `solo/methods/frossl.py`, `solo/losses/frossl.py`.

- The views go through the encoder, and so through batch norm, separately.
- The official views of small images blur, with a jitter twice as strong; this class takes `simclr_cifar`.
- The loss is computed over the global batch; the official code computes it per device.
"""

from keras import Model

from kerassl.heads import mlp
from kerassl.losses import frossl
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack


class FroSSL(SSLModel):
    """FroSSL (arXiv 2310.02903).

    Args:
        num_views: views of each image that a named preset makes.
        invariance_weight: weight of the distance of the views from their mean; > 0. The official runs use 1
            on CIFAR-10 and ImageNet-100, 1.4 on STL-10 and 2 on ImageNet.
        projection_dim: width of the embedding. The distance is weighted in proportion to the ratio of this
            width to the batch size, 4 in the official runs.
        hidden_dim: width of the head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two views.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.FroSSL(encoder, hidden_dim=64, projection_dim=32)
        >>> model.projector.output_shape
        (None, 32)
    """

    family, terms, default_views = "redundancy", ("frossl",), ("simclr_cifar", "simclr_imagenet")

    # OFSkean/FroSSL.
    recipes = {
        "frossl": Recipe(
            paper={
                **SIMCLR_PAPER,
                "weight_decay": 1e-4,
                "options": {"trust_coefficient": 0.02, "clip": True},
            },
            # The invariance term grows with width / batch size: at the paper's width it would dominate.
            short_arguments={"hidden_dim": 512, "projection_dim": 512},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_views: PositiveInt = 2,
        invariance_weight: PositiveFloat = 1.0,
        projection_dim: PositiveInt = 1024,
        hidden_dim: PositiveInt = 2048,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_views=num_views, **common)
        self.projector = mlp(self.feature_dim, (hidden_dim, hidden_dim), projection_dim, name="projector")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Negated entropy of each view's spectrum, and the views' distance from their mean."""
        if len(views) < 2:
            raise ValueError(f"FroSSL pulls views of one image together; it needs two, got {len(views)}.")
        features = [self.encode(self.encoder, view, training) for view in views]
        z = [self.gather(self.projector(f, training=training)) for f in features]
        return Outputs({"frossl": frossl(z, self.arguments.invariance_weight)}, features=features)
