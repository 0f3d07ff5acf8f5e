"""FroSSL: flatten the spectrum of the embeddings of every view, and pull the views together.

"FroSSL: Frobenius Norm Minimization for Efficient Multiview Self-Supervised Learning", arXiv 2310.02903,
section 4. Official code: OFSkean/FroSSL, `solo/methods/frossl.py`, `solo/losses/frossl.py`.

- The views go through the encoder one after the other, so batch norm sees each view by itself.
- The official views of small images jitter twice as strongly and blur; here they are `simclr_cifar`.
- The loss is that of the global batch; the official code takes that of each device's share.
"""

import keras

from kerassl.heads import mlp
from kerassl.losses import frossl
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack


@keras.saving.register_keras_serializable("kerassl")
class FroSSL(SSLModel):
    """FroSSL (arXiv 2310.02903).

    Args:
        num_views: views of each image that a named recipe makes.
        invariance_weight: weight of the distance of the views from their mean; > 0. The official runs take
            1 on CIFAR-10 and ImageNet-100, 1.4 on STL-10 and 2 on ImageNet.
        projection_dim: width of the embedding. The distance counts in proportion to its ratio to the batch, 4
            in the official runs.
        hidden_dim: width of the head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for fewer than two views or a weight <= 0.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.FroSSL(encoder, hidden_dim=64, projection_dim=32)
        >>> model.projector.output_shape
        (None, 32)
    """

    family = "redundancy"
    default_views = ("simclr_cifar", "simclr_imagenet")
    terms = ("frossl",)

    # OFSkean/FroSSL.
    recipes = {
        "frossl": Recipe(
            paper={
                **SIMCLR_PAPER,
                "weight_decay": 1e-4,
                "options": {"trust_coefficient": 0.02, "clip": True},
            },
            # The pull of the views grows with the width over the batch: at the paper's width they pull too
            # much.
            short_arguments={"hidden_dim": 512, "projection_dim": 512},
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
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
