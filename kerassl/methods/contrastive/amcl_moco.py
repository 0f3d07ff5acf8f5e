"""AMCL on MoCo: find a key among a queue of keys in several heads, with a temperature for every pair.

"Adaptive Multi-head Contrastive Learning", arXiv 2310.05615, equation 2.1. Official code: LeiWangR/cl, whose
MoCo has neither heads nor temperatures.

- Heads, temperatures, loss and their deviations are those of `AMCL`.
- Teacher and queue are those of `MoCoV2`. The keys of a head are contrasted with that head's keys.
- The temperature network has no teacher: it sees a query and a detached key.
"""

from keras import KerasTensor, Model, ops

from kerassl.arguments import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from kerassl.heads import PairTemperature, multi_head_mlp
from kerassl.losses import amcl_queue
from kerassl.memory import FeatureQueue
from kerassl.methods.contrastive.amcl import AMCL_PAPER, SHORT_AMCL
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class AMCLMoCo(SSLModel):
    """AMCL on MoCo (arXiv 2310.05615).

    Args:
        num_heads: projection heads, C in the paper.
        regularization: as in `AMCL`.
        min_temperature: as in `AMCL`.
        max_temperature: as in `AMCL`.
        temperature_hidden_dim: as in `AMCL`.
        momentum: teacher momentum, constant, in [0, 1]; 0.99 in the official MoCo for CIFAR.
        queue_size: number of images whose keys are kept; 4,096 in the official MoCo for CIFAR.
        projection_dim: width of each head's queries and keys.
        hidden_dim: width of each head's hidden layer.
        symmetric: whether each view is query and key in turn; twice the cost of a step.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for temperatures that do not satisfy 0 < minimum < maximum.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.AMCLMoCo(encoder, queue_size=512)
        >>> tuple(model.queue.features.shape)
        (512, 384)
    """

    family, terms, default_views = "contrastive", ("amcl",), ("moco_cifar", "moco_v2")

    recipes = {
        "amcl_moco": Recipe(
            paper={**AMCL_PAPER, "learning_rate": 0.04}, short_arguments={**SHORT_AMCL, "queue_size": 2048}
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_heads: PositiveInt = 3,
        regularization: NonNegativeFloat = 0.1,
        min_temperature: PositiveFloat = 1e-5,
        max_temperature: PositiveFloat = 2.0,
        temperature_hidden_dim: PositiveInt = 128,
        momentum: Fraction = 0.99,
        queue_size: PositiveInt = 4096,
        projection_dim: PositiveInt = 128,
        hidden_dim: PositiveInt = 512,
        symmetric: bool = True,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = multi_head_mlp(
            self.feature_dim, (hidden_dim,), projection_dim, num_heads, name="projector"
        )
        self.temperature = PairTemperature(
            projection_dim, temperature_hidden_dim, min_temperature, max_temperature
        )
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)
        # The keys of an image in all heads form one row; their norms do not matter.
        self.queue = FeatureQueue(queue_size, num_heads * projection_dim, seed=self.seed)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The contrast of queries with their own keys and those of the queue, in all heads."""

        def query(view: KerasTensor):
            features = self.encode(self.encoder, view, training)
            return self.projector(features, training=training), features

        def key(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return ops.stop_gradient(self.teacher_projector(features, training=training))

        (q, features), k = query(views[0]), key(views[1])
        loss, keys = self.contrast(q, k), [k]
        if self.arguments.symmetric:
            (q, _), k = query(views[1]), key(views[0])
            loss, keys = (loss + self.contrast(q, k)) / 2, [*keys, k]
        return Outputs({"amcl": loss}, features=features, state={"keys": keys})

    def contrast(self, q: KerasTensor, k: KerasTensor) -> KerasTensor:
        """The loss of queries with their keys."""
        queue = ops.reshape(
            self.queue.features, (-1, self.arguments.num_heads, self.arguments.projection_dim)
        )
        own, others = self.temperature.of_rows(q, k), self.temperature(q, queue)
        return amcl_queue(q, k, queue, own, others, self.arguments.regularization)

    def after_update(self, state: dict) -> None:
        """Puts the keys of the global batch into the queue."""
        # Each view is gathered separately, so that the order of the keys is that of a single device.
        keys = ops.concatenate([self.gather(k) for k in state["keys"]])
        self.queue.enqueue(ops.reshape(keys, (-1, self.arguments.num_heads * self.arguments.projection_dim)))
