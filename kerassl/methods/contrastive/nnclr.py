"""NNCLR: contrast the nearest neighbor of one view, found in a queue, with the prediction from the other.

"With a Little Help from My Friends: Nearest-Neighbor Contrastive Learning of Visual Representations",
arXiv 2104.14548, section 3. The authors' code is not public; details as in vturrisi/solo-learn,
`solo/methods/nnclr.py`.

- The loss of each direction is N-way, over the predictions of the other view alone; the two directions are
  averaged.
- Each view goes through batch norm separately.
- The queue takes the first view's projections, after the loss.
"""

from keras import KerasTensor, Model

from kerassl.heads import mlp
from kerassl.losses import info_nce
from kerassl.memory import FeatureQueue
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack


class NNCLR(SSLModel):
    """NNCLR (arXiv 2104.14548).

    Args:
        temperature: divides the cosines; > 0.
        queue_size: number of projections that are searched for neighbors; 98,304 in the paper.
        projection_dim: width of projections and predictions.
        hidden_dim: width of the projector's two hidden layers.
        prediction_hidden_dim: width of the predictor's hidden layer.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.NNCLR(encoder, queue_size=1024, hidden_dim=64, prediction_hidden_dim=64)
        >>> tuple(model.queue.features.shape)
        (1024, 256)
    """

    family, terms, default_views = "contrastive", ("info_nce",), ("byol_cifar", "byol")

    # arXiv 2104.14548 section 4.
    recipes = {
        "nnclr": Recipe(
            paper=SIMCLR_PAPER,
            short_arguments={
                "temperature": 0.2,
                "hidden_dim": 512,
                "projection_dim": 128,
                "prediction_hidden_dim": 512,
                "queue_size": 4096,
            },
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        temperature: PositiveFloat = 0.1,
        queue_size: PositiveInt = 98304,
        projection_dim: PositiveInt = 256,
        hidden_dim: PositiveInt = 2048,
        prediction_hidden_dim: PositiveInt = 4096,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
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
        self.queue = FeatureQueue(queue_size, projection_dim, seed=self.seed)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """InfoNCE of each view's neighbor with the predictions from the other view."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)
        p1, p2 = (self.predictor(z, training=training) for z in (z1, z2))

        def contrast(z: KerasTensor, p: KerasTensor):
            return info_nce(
                self.queue.nearest(z), p, temperature=self.arguments.temperature, candidates=self.gather(p)
            )

        loss = (contrast(z1, p2) + contrast(z2, p1)) / 2
        return Outputs(
            {"info_nce": self.mean_over_replicas(loss)}, features=features, state={"projections": z1}
        )

    def after_update(self, state: dict) -> None:
        """Puts the first view's projections of the global batch into the queue."""
        self.queue.enqueue(self.gather(state["projections"]))
