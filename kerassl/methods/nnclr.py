"""NNCLR: contrast the nearest neighbour of one view, found in a queue, with the prediction from the other.

"With a Little Help from My Friends: Nearest-Neighbor Contrastive Learning of Visual Representations",
arXiv 2104.14548, section 3. The authors' code is not public; details as in vturrisi/solo-learn,
`solo/methods/nnclr.py`.

- The loss of each direction is N-way, over the predictions of the other view alone; the halves are averaged.
- Each view goes through batch norm by itself.
- The queue takes the first view's projections, after the loss.
"""

import keras
from keras import KerasTensor

from kerassl.heads import mlp
from kerassl.losses import info_nce
from kerassl.memory import FeatureQueue
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class NNCLR(SSLModel):
    """NNCLR (arXiv 2104.14548).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`byol_cifar` up to 64 pixels, else `byol`), a recipe's name, a views layer, or
            `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none.
        temperature: divides the cosines; > 0.
        queue_size: number of projections among which neighbours are looked for; 98,304 in the paper.
        projection_dim: width of projections and predictions.
        hidden_dim: width of the projector's two hidden layers.
        prediction_hidden_dim: width of the predictor's hidden layer.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0 or a queue without rows.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.NNCLR(encoder, queue_size=1024, hidden_dim=64, prediction_hidden_dim=64)
        >>> tuple(model.queue.features.shape)
        (1024, 256)
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        temperature: float = 0.1,
        queue_size: int = 98304,
        projection_dim: int = 256,
        hidden_dim: int = 2048,
        prediction_hidden_dim: int = 4096,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the paper uses 0.1.")
        super().__init__(
            encoder,
            views=views,
            default_views=("byol_cifar", "byol"),
            terms=("info_nce",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.temperature = temperature
        self.queue_size = queue_size
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.prediction_hidden_dim = prediction_hidden_dim
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim, hidden_dim),
            projection_dim,
            output_batch_norm="affine",
            name="projector",
        )
        self.predictor = mlp(
            projection_dim, (prediction_hidden_dim,), projection_dim, output_bias=True, name="predictor"
        )
        self.queue = FeatureQueue(queue_size, projection_dim, seed=seed)

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """InfoNCE of each view's neighbour with the predictions from the other view."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)
        p1, p2 = (self.predictor(z, training=training) for z in (z1, z2))

        def contrast(z: KerasTensor, p: KerasTensor):
            return info_nce(self.queue.nearest(z), p, temperature=self.temperature, candidates=self.gather(p))

        loss = (contrast(z1, p2) + contrast(z2, p1)) / 2
        return {"info_nce": self.mean_over_replicas(loss)}, {"features": features, "projections": z1}

    def after_update(self, aux: dict) -> None:
        """Puts the first view's projections of the global batch into the queue."""
        self.queue.enqueue(self.gather(aux["projections"]))

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "queue_size": self.queue_size,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
            "prediction_hidden_dim": self.prediction_hidden_dim,
        }
