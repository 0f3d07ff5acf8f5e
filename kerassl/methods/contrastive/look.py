"""LOOK: an image must share its class with most of its nearest neighbors, not with the whole class.

"Rethinking Supervised Pre-training for Better Downstream Transferring", arXiv 2110.06014. The authors' code
is not public. From the abstract: the loss is the leave-one-out error of a weighted kNN classifier. The rest
is our design: the form of the loss (see `kerassl.losses.look`) and the defaults. Head, views, teacher and
queue are those of MoCo v2.

- The queue holds the teacher's keys of other views, with their labels, and takes those of a batch after its
  loss: no image is its own neighbor. Its key of the previous epoch may be, if the queue outlives the shuffle;
  the model does not know which image a row shows.
- An unlabeled image (-1) has no loss, and its key is nobody's neighbor.
- Each view goes through the batch norm of student or teacher separately.
"""

from keras import Model, ops

from kerassl.arguments import Fraction, PositiveFloat, PositiveInt
from kerassl.heads import plain_mlp
from kerassl.losses import look
from kerassl.memory import LabeledQueue
from kerassl.methods.contrastive.moco_v2 import MOCO_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class LOOK(SSLModel):
    """LOOK (arXiv 2110.06014): learns from labels, and lets a class keep several modes.

    Args:
        num_neighbors: rows of the queue that vote on a query's class; fewer than a class has there, which
            would otherwise have to form one cluster.
        temperature: divides the cosines; > 0.
        momentum: teacher momentum, constant, in [0, 1].
        queue_size: number of keys that are kept.
        projection_dim: width of queries and keys.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in `fit`, for data without labels.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.LOOK(encoder, num_classes=10, queue_size=4096, momentum=0.99)
        >>> tuple(model.queue.labels.shape)
        (4096,)
    """

    family = "contrastive"
    needs_labels = True
    terms, default_views = ("look",), ("moco_cifar", "moco_v2")

    # As in MoCo v2; the paper gives little of its own.
    recipes = {
        "look": Recipe(
            paper=MOCO_PAPER, short_arguments={"num_neighbors": 100, "momentum": 0.99, "queue_size": 4096}
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_neighbors: PositiveInt = 200,
        temperature: PositiveFloat = 0.1,
        momentum: Fraction = 0.999,
        queue_size: PositiveInt = 65536,
        projection_dim: PositiveInt = 128,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = plain_mlp(self.feature_dim, (self.feature_dim,), projection_dim)
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)
        self.queue = LabeledQueue(queue_size, projection_dim, seed=self.seed)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Error of the vote of the first view's neighbors in the queue on its class."""
        if batch.labels is None:
            raise ValueError(
                "LOOK learns from labels, and the data has none. Pass (images, labels), with -1 for an image "
                "whose class is not known, or use MoCoV2."
            )
        features = self.encode(self.encoder, views[0], training)
        q = self.projector(features, training=training)
        k = self.teacher_projector(self.encode(self.teacher_encoder, views[1], training), training=training)
        queue, queue_labels = (ops.convert_to_tensor(v) for v in (self.queue.features, self.queue.labels))
        loss = look(
            q, batch.labels, queue, queue_labels, self.arguments.num_neighbors, self.arguments.temperature
        )
        return Outputs({"look": loss}, features=features, state={"keys": k, "key_labels": batch.labels})

    def after_update(self, state: dict) -> None:
        """Puts keys and labels of the global batch into the queue."""
        self.queue.enqueue(self.gather(state["keys"]), self.gather(state["key_labels"]))
