"""MoCo v2: find the key of the image's other view among a queue of keys of past batches.

"Momentum Contrast for Unsupervised Visual Representation Learning", arXiv 1911.05722, equation 1;
"Improved Baselines with Momentum Contrastive Learning", arXiv 2003.04297.
Official code: facebookresearch/moco, `moco/builder.py`; CIFAR notebook on its branch `colab-notebook`.

- The queue takes the keys after the loss, so that no key is its own negative.
- The teacher moves after the optimizer; the official code moves it before the next forward pass, which is
  equivalent.
- Keys are not shuffled between devices: batch norm is global, so no device's statistics reveal which key
  belongs to a query.
- `symmetric=True` sums the two directions, as the official CIFAR notebook can.
"""

from keras import KerasTensor, Model, Sequential, ops, random

from kerassl.arguments import Annotated, Bound, Fraction, PositiveFloat, PositiveInt
from kerassl.heads import plain_mlp
from kerassl.losses import hard_contrastive, info_nce
from kerassl.memory import FeatureQueue
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack

MOCO_PAPER = {"optimizer": "sgd", "learning_rate": 0.03, "weight_decay": 1e-4, "warmup_epochs": 0}
SHORT_MOCO = {"temperature": 0.1, "momentum": 0.99, "queue_size": 4096, "symmetric": True}


class MoCoV2(SSLModel):
    """MoCo v2 (arXiv 2003.04297).

    Args:
        temperature: divides the cosines; > 0. 0.2 on ImageNet, 0.1 in the official CIFAR notebook.
        momentum: teacher momentum, constant, in [0, 1]. 0.999 on ImageNet, 0.99 in the CIFAR notebook.
        queue_size: number of keys in the queue: 65,536 on ImageNet, 4,096 in the CIFAR notebook.
        projection_dim: width of queries and keys.
        symmetric: whether each view is query and key in turn; twice the cost of a step.
        hard_fraction: share of the queue, nearest to a query, that serves as its negatives, in (0, 1]; `None`
            for all. See `kerassl.losses.hard_contrastive` (arXiv 2012.09740).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.MoCoV2(encoder, queue_size=4096, momentum=0.99)
        >>> tuple(model.queue.features.shape)
        (4096, 128)
    """

    family, terms, default_views = "contrastive", ("info_nce",), ("moco_cifar", "moco_v2")

    # arXiv 2003.04297; facebookresearch/moco.
    recipes = {"moco_v2": Recipe(paper=MOCO_PAPER, short_arguments=SHORT_MOCO)}

    def __init__(
        self,
        encoder: Model,
        *,
        temperature: PositiveFloat = 0.2,
        momentum: Fraction = 0.999,
        queue_size: PositiveInt = 65536,
        projection_dim: PositiveInt = 128,
        symmetric: bool = False,
        hard_fraction: Annotated[float, Bound(0, 1, open_low=True)] | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = self.make_projector("projector")
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)
        self.queue = FeatureQueue(queue_size, projection_dim, seed=self.seed)

    def make_projector(self, name: str) -> Sequential:
        """Projection head of two layers with biases and without batch norm."""
        return plain_mlp(self.feature_dim, (self.feature_dim,), self.arguments.projection_dim, name=name)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """InfoNCE of the queries with their own keys and those of the queue."""

        def query(view: KerasTensor):
            features = self.encode(self.encoder, view, training)
            return self.projector(features, training=training), features

        def key(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return ops.stop_gradient(self.teacher_projector(features, training=training))

        rng = self.clock.seed("contrast", training)
        (q, features), k = query(views[0]), key(views[1])
        loss, queries, keys = self.contrast(q, k, rng), [q], [k]
        if self.arguments.symmetric:
            (q, _), k = query(views[1]), key(views[0])
            loss, queries, keys = loss + self.contrast(q, k, rng), [*queries, q], [*keys, k]
        return Outputs({"info_nce": loss}, features=features, state={"queries": queries, "keys": keys})

    def contrast(self, q: KerasTensor, k: KerasTensor, rng: random.SeedGenerator) -> KerasTensor:
        """The loss of queries with their keys; `rng` is for methods with a random loss."""
        queue = ops.convert_to_tensor(self.queue.features)
        if self.arguments.hard_fraction is None:
            return info_nce(q, k, queue, self.arguments.temperature)
        return hard_contrastive(q, k, queue, self.arguments.temperature, self.arguments.hard_fraction)

    def after_update(self, state: dict) -> None:
        """Puts the keys of the global batch into the queue."""
        # One view after the other, so that the order does not depend on the number of replicas.
        for keys in state["keys"]:
            self.queue.enqueue(self.gather(keys))
