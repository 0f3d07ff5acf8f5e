"""W-MSE: the views of an image agree after the embeddings of a batch have been whitened.

"Whitening for Self-Supervised Representation Learning", arXiv 2007.06346, section 3. Official code:
htdt/self-supervised, `methods/w_mse.py`, `methods/whitening.py`.

- Each view goes through the encoder by itself, and all views through the head together.
- Gradients flow through all views.
- Sub-batches are cut from the global batch by a permutation that all devices draw alike, so that many
  devices do what one does; the embeddings, which are narrow, are gathered for it. The official code trains on
  one device.
- The diagonal of the covariance is raised by a ten-thousandth; see `kerassl.losses.whiten`.
"""

import keras
from keras import KerasTensor, ops

from kerassl.heads import mlp
from kerassl.losses import wmse
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class WMSE(SSLModel):
    """W-MSE (arXiv 2007.06346).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`wmse_cifar` up to 64 pixels, else `simclr_imagenet`), a recipe's name, a views
            layer, or `None` for data that holds at least two views.
        num_classes: number of classes for the online probe; `None` for none.
        num_views: views of each image that a named recipe makes: 2 or 4 in the paper.
        subbatch_size: images that are whitened together; larger than `projection_dim`. The paper takes twice
            as many as dimensions.
        num_cuts: how many times a batch is cut into sub-batches, each time in another order, for the mean of
            the losses: 4 for STL-10 in the paper.
        projection_dim: width of the embedding: 64, or 128 for STL-10 and Tiny ImageNet.
        hidden_dim: width of the head's hidden layer.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than two views or one cut, or sub-batches not larger than the embedding is wide.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.WMSE(encoder, num_views=4)
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
        subbatch_size: int = 128,
        num_cuts: int = 1,
        projection_dim: int = 64,
        hidden_dim: int = 1024,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if subbatch_size <= projection_dim:
            raise ValueError(
                f"subbatch_size={subbatch_size} images have no covariance of full rank in "
                f"projection_dim={projection_dim} dimensions; the paper takes twice as many images."
            )
        if num_cuts < 1:
            raise ValueError(f"num_cuts must be at least 1, got {num_cuts}.")
        super().__init__(
            encoder,
            views=views,
            default_views=("wmse_cifar", "simclr_imagenet"),
            num_views=num_views,
            terms=("wmse",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_views = num_views
        self.subbatch_size = subbatch_size
        self.num_cuts = num_cuts
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim,),
            projection_dim,
            hidden_bias=True,
            output_bias=True,
            name="projector",
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """W-MSE of the global batch, cut into sub-batches at random."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z = ops.split(self.projector(ops.concatenate(features), training=training), len(views))
        z = [self.gather(view) for view in z]
        rng = self.step_seed("sub-batches", training)
        loss = 0.0
        for _ in range(self.num_cuts):
            order = ops.argsort(keras.random.uniform((ops.shape(z[0])[0],), seed=rng))
            loss += wmse(z, self.subbatch_size, order) / self.num_cuts
        return {"wmse": loss}, {"features": features}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_views": self.num_views,
            "subbatch_size": self.subbatch_size,
            "num_cuts": self.num_cuts,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
