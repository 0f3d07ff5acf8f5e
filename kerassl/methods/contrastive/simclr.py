"""SimCLR: contrast two views of an image with all other images of the batch.

"A Simple Framework for Contrastive Learning of Visual Representations", arXiv 2002.05709, equation 1.
Official code: google-research/simclr, `tf2/objective.py`, `tf2/model.py`.

- Both views go through the encoder together, so batch norm sees 2N images, as in the official code.
- The loss is the paper's mean over 2N; the official code reports twice that.
"""

from keras import KerasTensor, Model, Sequential, initializers, layers, ops

from kerassl.heads import mlp
from kerassl.losses import nt_xent
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack

SIMCLR_PAPER = {"optimizer": "lars", "learning_rate": 0.3, "weight_decay": 1e-6, "warmup_epochs": 10}


class SimCLR(SSLModel):
    """SimCLR (arXiv 2002.05709).

    Args:
        temperature: divides the cosines; > 0. The paper's 0.1 suits ImageNet, 0.5 CIFAR-10 at batch 512.
        projection_dim: width of the embedding that the loss sees.
        projection_layers: Dense layers of the head: 2 in the paper, 3 in SimCLR v2.
        projector: a custom head, a layer from features `(batch, dim)` to embeddings, for example
            `kerassl.heads.FixedReweighting`; `None` for the head that the two previous arguments describe.
        block_size: number of rows that the loss compares with all others at a time, for batches whose
            similarity matrix does not fit into memory; `None` for all rows. See `kerassl.losses.nt_xent`.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for a custom head together with arguments of the default one.

    Example:
        >>> import keras, kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.SimCLR(encoder, num_classes=10)
        >>> tuple(model(keras.ops.ones((2, 32, 32, 3))).shape)
        (2, 128)
    """

    family, terms, default_views = "contrastive", ("nt_xent",), ("simclr_cifar", "simclr_imagenet")
    # Rate, decay and warm-up: arXiv 2002.05709 section 2.2; google-research/simclr.
    recipes = {
        "simclr": Recipe(
            paper={**SIMCLR_PAPER, "options": {"lr_in_momentum": True}}, short_arguments={"temperature": 0.2}
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        temperature: PositiveFloat = 0.1,
        projection_dim: PositiveInt = 128,
        projection_layers: PositiveInt = 2,
        projector: layers.Layer | None = None,
        block_size: PositiveInt | None = None,
        **common: Unpack[Common],
    ) -> None:
        if projector is not None and (projection_dim, projection_layers) != (128, 2):
            raise ValueError("projector= replaces projection_dim= and projection_layers=; leave these out.")
        super().__init__(encoder, **common)
        self.projector = self.make_projector() if projector is None else projector
        if not self.projector.built:
            self.projector.build((None, self.feature_dim))

    def make_projector(self) -> Sequential:
        """Projection head, as wide as the features, with batch norm after every layer."""
        hidden_dims = (self.feature_dim,) * (self.arguments.projection_layers - 1)
        options = {"output_batch_norm": "scale", "initializer": initializers.RandomNormal(stddev=0.01)}
        return mlp(self.feature_dim, hidden_dims, self.arguments.projection_dim, name="projector", **options)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The contrast of two views' projections."""
        view1, view2 = views
        features = self.encode_views(self.encoder, (view1, view2), training)
        z1, z2 = ops.split(self.projector(features, training=training), 2)
        # Each replica compares its own rows with the whole batch.
        loss = self.contrast(z1, z2, block_size=self.arguments.block_size, **self.global_batch(z1, z2))
        return Outputs({self.terms[0]: self.mean_over_replicas(loss)}, features=ops.split(features, 2))

    def contrast(self, z1: KerasTensor, z2: KerasTensor, **global_batch) -> KerasTensor:
        """The loss of this replica's rows; `global_batch` gives the whole batch and their position in it."""
        return nt_xent(z1, z2, self.arguments.temperature, **global_batch)
