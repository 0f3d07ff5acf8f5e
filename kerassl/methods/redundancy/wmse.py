"""W-MSE: the views of an image agree after the embeddings of a batch are whitened.

"Whitening for Self-Supervised Representation Learning", arXiv 2007.06346, section 3. Official code:
htdt/self-supervised, `methods/w_mse.py`, `methods/whitening.py`.

- Each view goes through the encoder separately, and all views go through the head together.
- Gradients flow through all views.
- Sub-batches are cut from the global batch by a permutation that all devices share, so that many devices
  equal one; the embeddings, which are narrow, are gathered for it. The official code trains on one device.
- The diagonal of the covariance is increased by 1e-4; see `kerassl.losses.whiten`.
"""

from keras import Model, ops, random

from kerassl.heads import mlp
from kerassl.losses import wmse
from kerassl.training import Batch, Common, Outputs, PositiveInt, Recipe, SSLModel, Unpack


class WMSE(SSLModel):
    """W-MSE (arXiv 2007.06346).

    Args:
        num_views: views of each image that a named preset makes: 2 or 4 in the paper.
        subbatch_size: number of images that are whitened together; larger than `projection_dim`. The paper
            uses twice as many images as dimensions.
        num_cuts: number of times that a batch is cut into sub-batches, each in a different order; the losses
            are averaged. 4 for STL-10 in the paper.
        projection_dim: width of the embedding: 64, or 128 for STL-10 and Tiny ImageNet.
        hidden_dim: width of the head's hidden layer.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: unless `subbatch_size` is larger than `projection_dim`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.WMSE(encoder, num_views=4)
        >>> model.projector.output_shape
        (None, 64)
    """

    family, terms, default_views = "redundancy", ("wmse",), ("wmse_cifar", "simclr_imagenet")

    recipes = {
        "wmse": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 1.5e-3, "weight_decay": 1e-6, "warmup_epochs": 5},
            short_arguments={"subbatch_size": 256},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_views: PositiveInt = 2,
        subbatch_size: PositiveInt = 128,
        num_cuts: PositiveInt = 1,
        projection_dim: PositiveInt = 64,
        hidden_dim: PositiveInt = 1024,
        **common: Unpack[Common],
    ) -> None:
        if subbatch_size <= projection_dim:
            raise ValueError(
                f"subbatch_size={subbatch_size} images have no covariance of full rank in "
                f"projection_dim={projection_dim} dimensions; the paper takes twice as many images."
            )
        super().__init__(encoder, num_views=num_views, **common)
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim,),
            projection_dim,
            hidden_bias=True,
            output_bias=True,
            name="projector",
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """W-MSE of the global batch, cut into sub-batches at random."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z = ops.split(self.projector(ops.concatenate(features), training=training), len(views))
        z = [self.gather(view) for view in z]
        rng = self.clock.seed("sub-batches", training)
        loss = 0.0
        for _ in range(self.arguments.num_cuts):
            order = ops.argsort(random.uniform((ops.shape(z[0])[0],), seed=rng))
            loss += wmse(z, self.arguments.subbatch_size, order) / self.arguments.num_cuts
        return Outputs({"wmse": loss}, features=features)
