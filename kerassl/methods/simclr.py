"""SimCLR: contrast two views of an image with all other images of the batch.

"A Simple Framework for Contrastive Learning of Visual Representations", arXiv 2002.05709, equation 1.
Official code: google-research/simclr, `tf2/objective.py`, `tf2/model.py`.

- Both views go through the encoder together, so batch norm sees 2N images, as in the official code.
- The loss is the paper's mean over 2N; the official code reports twice that.
"""

import keras
from keras import KerasTensor, ops

from kerassl.heads import mlp
from kerassl.losses import nt_xent
from kerassl.losses.nt_xent import check_block_size
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class SimCLR(SSLModel):
    """SimCLR (arXiv 2002.05709).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`simclr_cifar` up to 64 pixels, else `simclr_imagenet`), a recipe's name, a
            views layer, or `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none.
        temperature: divides the cosines; > 0. The paper's 0.1 suits ImageNet, 0.5 CIFAR-10 at batch 512.
        projection_dim: width of the embedding that the loss sees.
        projection_layers: Dense layers of the head: 2 in the paper, 3 in SimCLR v2.
        projector: a head of your own, a layer from features `(batch, dim)` to embeddings such as
            `kerassl.heads.FixedReweighting`; `None` for the one that the two arguments before describe.
        block_size: rows that the loss compares with all others at a time, for batches whose similarities do
            not fit into memory; `None` for all. See `kerassl.losses.nt_xent`.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0, fewer than one projection layer, a head of your own besides a
            description of another, or a block size below 1.

    Example:
        >>> import keras, kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.SimCLR(encoder, num_classes=10)
        >>> tuple(model(keras.ops.ones((2, 32, 32, 3))).shape)
        (2, 64)
    """

    loss_name = "nt_xent"
    # Of methods that add terms to the contrast.
    further_losses: tuple[str, ...] = ()

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        temperature: float = 0.1,
        projection_dim: int = 128,
        projection_layers: int = 2,
        projector: keras.layers.Layer | None = None,
        block_size: int | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the paper uses 0.1 to 0.5.")
        if projection_layers < 1:
            raise ValueError(f"projection_layers must be at least 1, got {projection_layers}.")
        if projector is not None and (projection_dim, projection_layers) != (128, 2):
            raise ValueError(
                "projector= takes the place of the head that projection_dim= and projection_layers= "
                "describe; leave these out."
            )
        check_block_size(block_size)
        super().__init__(
            encoder,
            views=views,
            default_views=("simclr_cifar", "simclr_imagenet"),
            terms=(self.loss_name, *self.further_losses),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.temperature = temperature
        self.projection_dim = projection_dim
        self.projection_layers = projection_layers
        self.block_size = block_size
        self.has_own_projector = projector is not None
        self.projector = projector if self.has_own_projector else self.make_projector()
        if not self.projector.built:
            self.projector.build((None, self.feature_dim))

    def make_projector(self) -> keras.Sequential:
        """The head, as wide as the features, with batch norm after every layer."""
        return mlp(
            self.feature_dim,
            (self.feature_dim,) * (self.projection_layers - 1),
            self.projection_dim,
            output_batch_norm="scale",
            initializer=keras.initializers.RandomNormal(stddev=0.01),
            name="projector",
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """The contrast of two views' projections."""
        view1, view2 = views
        features = self.encode(self.encoder, ops.concatenate([view1, view2]), training)
        z1, z2 = ops.split(self.projector(features, training=training), 2)
        # Each replica compares its own rows with the whole batch.
        candidates, first_row = self.gather_candidates(z1, z2)
        share = {"block_size": self.block_size, "candidates": candidates, "first_row": first_row}
        loss = self.mean_over_replicas(self.contrast(z1, z2, **share))
        return {self.loss_name: loss}, {"features": ops.split(features, 2)}

    def contrast(self, z1: KerasTensor, z2: KerasTensor, **share) -> KerasTensor:
        """The loss of this replica's rows; `share` says how they lie in the whole batch."""
        return nt_xent(z1, z2, self.temperature, **share)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        own_projector = self.projector if self.has_own_projector else None
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "projection_dim": self.projection_dim,
            "projection_layers": self.projection_layers,
            "projector": keras.saving.serialize_keras_object(own_projector),
            "block_size": self.block_size,
        }
