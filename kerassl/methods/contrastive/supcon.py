"""SupCon: pull the views of a class together, and classes apart.

"Supervised Contrastive Learning", arXiv 2004.11362, equation 2 (L_out).
Official code: HobbitLong/SupContrast, `losses.py`, `networks/resnet_big.py`.

- Both views go through the encoder together, so batch norm sees 2N images, as in the official code.
- An image without a label (-1) is a class of its own: its positive is its other view, as in SimCLR.
- The loss is the paper's; the official code multiplies it by `temperature / base_temperature`.
"""

from keras import Model, ops

from kerassl.heads import plain_mlp
from kerassl.losses import sup_con
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack


class SupCon(SSLModel):
    """SupCon (arXiv 2004.11362): learns from labels, and forms one cluster per class.

    Args:
        temperature: divides the cosines; > 0. The paper uses 0.1.
        base_temperature: the loss is multiplied by `temperature / base_temperature`; > 0. `None` for the
            paper's equation, which has no such factor; 0.07 in the official code.
        projection_dim: width of the embedding that the loss sees.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in `fit`, for data without labels.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.SupCon(encoder, num_classes=10)
        >>> model.projector.output_shape
        (None, 128)
    """

    family = "contrastive"
    needs_labels = True
    terms, default_views = ("sup_con",), ("supcon_cifar", "simclr_imagenet")

    # HobbitLong/SupContrast.
    recipes = {
        "supcon": Recipe(
            # 0.5 at the official batch of 1024, times the 0.1 / 0.07 of the official loss.
            paper={"optimizer": "sgd", "learning_rate": 0.179, "weight_decay": 1e-4, "warmup_epochs": 10}
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        temperature: PositiveFloat = 0.1,
        base_temperature: PositiveFloat | None = None,
        projection_dim: PositiveInt = 128,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = plain_mlp(self.feature_dim, (self.feature_dim,), projection_dim)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """SupCon over both views of the global batch."""
        if batch.labels is None:
            raise ValueError(
                "SupCon learns from labels, and the data has none. Pass (images, labels), with -1 for an "
                "image whose class is not known, or use SimCLR."
            )
        view1, view2 = views
        features = self.encode_views(self.encoder, (view1, view2), training)
        z = self.projector(features, training=training)
        # An image without a label gets its own class, numbered below all others.
        rows = ops.shape(batch.labels)[0]
        own_class = -1 - self.row_offset(rows) - ops.arange(rows, dtype="int32")
        labels = ops.where(batch.labels < 0, own_class, batch.labels)
        labels = ops.concatenate([labels, labels])
        # Each replica compares its own rows with the whole batch.
        temperatures = self.arguments.temperature, self.arguments.base_temperature
        loss = sup_con(z, labels, *temperatures, **self.global_batch(z, labels))
        return Outputs({"sup_con": self.mean_over_replicas(loss)}, features=ops.split(features, 2))
