"""SupCon: pull all views of a class together, and all classes apart.

"Supervised Contrastive Learning", arXiv 2004.11362, equation 2 (L_out).
Official code: HobbitLong/SupContrast, `losses.py`, `networks/resnet_big.py`.

- Both views go through the encoder together, so batch norm sees 2N images, as in the official code.
- An image without a label (-1) is a class of its own: its positive is its other view, as in SimCLR.
- The loss is the paper's; the official code multiplies it by `temperature / base_temperature`.
"""

import keras
from keras import KerasTensor, ops

from kerassl.heads import mlp
from kerassl.losses import sup_con
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class SupCon(SSLModel):
    """SupCon (arXiv 2004.11362): learns from labels, and draws a class together.

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`supcon_cifar` up to 64 pixels, else `simclr_imagenet`), a recipe's name, a
            views layer, or `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none. The loss needs labels in
            either case, but not their number.
        temperature: divides the cosines; > 0. The paper uses 0.1.
        base_temperature: > 0, divides the temperature that multiplies the loss; `None` for the paper's
            equation, which has no such factor. The official code's is 0.07.
        projection_dim: width of the embedding that the loss sees.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0; in `fit`, for data without labels.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.SupCon(encoder, num_classes=10)
        >>> model.projector.output_shape
        (None, 128)
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        temperature: float = 0.1,
        base_temperature: float | None = None,
        projection_dim: int = 128,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        for argument, value in (("temperature", temperature), ("base_temperature", base_temperature)):
            if value is not None and value <= 0:
                raise ValueError(f"{argument} must be > 0, got {value}; the paper uses 0.1.")
        super().__init__(
            encoder,
            views=views,
            default_views=("supcon_cifar", "simclr_imagenet"),
            terms=("sup_con",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.temperature = temperature
        self.base_temperature = base_temperature
        self.projection_dim = projection_dim
        self.projector = mlp(
            self.feature_dim,
            (self.feature_dim,),
            projection_dim,
            hidden_bias=True,
            hidden_batch_norm=False,
            output_bias=True,
            name="projector",
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """SupCon over both views of the global batch."""
        if labels is None:
            raise ValueError(
                "SupCon learns from labels, and the data has none. Pass (images, labels), with -1 for an "
                "image whose class is not known, or use SimCLR."
            )
        view1, view2 = views
        features = self.encode(self.encoder, ops.concatenate([view1, view2]), training)
        z = self.projector(features, training=training)
        # An image without a label is alone in a class of its own, below all others.
        images = ops.shape(labels)[0]
        own_class = -1 - self.first_row(images) - ops.arange(images, dtype="int32")
        labels = ops.where(labels < 0, own_class, labels)
        labels = ops.concatenate([labels, labels])
        # Each replica compares its own rows with the whole batch.
        candidates, first_row = self.gather_candidates(z, labels)
        loss = sup_con(
            z,
            labels,
            self.temperature,
            self.base_temperature,
            candidates=candidates,
            first_row=first_row,
        )
        return {"sup_con": self.mean_over_replicas(loss)}, {"features": ops.split(features, 2)}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "base_temperature": self.base_temperature,
            "projection_dim": self.projection_dim,
        }
