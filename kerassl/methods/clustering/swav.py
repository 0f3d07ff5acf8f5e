"""SwAV: predict the other views' prototype assignments from each view.

"Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", arXiv 2006.09882, equations
1 to 6. Official code: facebookresearch/swav, `main_swav.py`, `src/resnet50.py`.

- Crops of one size go through encoder and head together, as in the official code; batch norm sees the global
  batch.
- The scores are detached before Sinkhorn-Knopp; the predicting embeddings are not.
- The queue is filled from the first step, in the official code from `queue_start_epoch`; in both it is used
  from that epoch on, once it is full. Each device sees the full queue; in the official code, its own share.
- Prototypes are normalized after each update; in the official code, before each forward pass.
- `sinkhorn_iterations=10` and `sinkhorn_temperature=0.03` are SEER's (arXiv 2103.01988,
  facebookresearch/vissl); `prior_exponent` is the power law of arXiv 2210.07277.
"""

from keras import KerasTensor, Model, ops

from kerassl import losses
from kerassl.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from kerassl.heads import PrototypeHead, mlp
from kerassl.memory import FeatureQueue
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack

# LARC of NVIDIA's apex.
SWAV_PAPER = {**SIMCLR_PAPER, "options": {"decay_bias_and_norm": True}}


class SwAV(SSLModel):
    """SwAV (arXiv 2006.09882).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)` that accepts the sizes of
            all crops.
        num_prototypes: number of prototypes K.
        temperature: divides the cosines in the prediction; > 0.
        sinkhorn_temperature: divides the cosines in the assignment, epsilon in the paper; > 0.
        sinkhorn_iterations: iterations of Sinkhorn-Knopp, at least 1.
        prior_exponent: exponent of the power law of the prototypes' shares; 0 for equal shares, 0.25 for
            long-tailed data.
        queue_size: number of past embeddings per assigned crop that take part in the assignment; 0 for none.
            The paper: 3840 for batches of 256, none for 4096.
        queue_start_epoch: first epoch in which the queue is used, counted from 0.
        freeze_prototypes_updates: number of first updates with frozen prototypes; official: 313 for batches
            of 4096, 5005 for 256.
        num_global_crops: number of views that are assigned to prototypes.
        hidden_dims: widths of the head's hidden layers; none for a linear head.
        projection_dim: width of the embedding that is compared with the prototypes.
        use_batch_norm_in_head: whether the hidden layers are batch-normalized (not in SEER).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two views.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.SwAV(encoder, num_prototypes=64, queue_size=0)
        >>> tuple(model.prototypes.prototypes.shape)
        (128, 64)
    """

    family, terms, default_views = "clustering", ("swav",), ("swav_cifar", "swav")

    # arXiv 2006.09882; facebookresearch/swav, whose 4.8 is for batches of 4096. SEER: arXiv 2103.01988;
    # facebookresearch/vissl, `configs/config/pretrain/seer`.
    recipes = {
        "swav": Recipe(
            paper=SWAV_PAPER,
            short_arguments={
                "num_prototypes": 256,
                "hidden_dims": (512,),
                "queue_size": 0,
                "freeze_prototypes_updates": 40,
            },
        ),
        "seer": Recipe(
            paper={**SWAV_PAPER, "weight_decay": 1e-5, "warmup_epochs": 0.0436},
            arguments={
                "num_prototypes": 16_000,
                "sinkhorn_temperature": 0.03,
                "sinkhorn_iterations": 10,
                "queue_size": 0,
                "hidden_dims": (8192, 8192),
                "projection_dim": 256,
                "use_batch_norm_in_head": False,
            },
            short_arguments={
                "num_prototypes": 256,
                "hidden_dims": (512,),
                "projection_dim": 128,
                "freeze_prototypes_updates": 40,
            },
            views="seer",
        ),
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_prototypes: PositiveInt = 3000,
        temperature: PositiveFloat = 0.1,
        sinkhorn_temperature: PositiveFloat = 0.05,
        sinkhorn_iterations: PositiveInt = 3,
        prior_exponent: NonNegativeFloat = 0.0,
        queue_size: NonNegativeInt = 3840,
        queue_start_epoch: NonNegativeInt = 15,
        freeze_prototypes_updates: NonNegativeInt = 313,
        num_global_crops: PositiveInt = 2,
        hidden_dims: tuple[PositiveInt, ...] = (2048,),
        projection_dim: PositiveInt = 128,
        use_batch_norm_in_head: bool = True,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_prototypes=num_prototypes, **common)
        self.projector = mlp(
            self.feature_dim,
            tuple(hidden_dims),
            projection_dim,
            hidden_bias=True,
            hidden_batch_norm=use_batch_norm_in_head,
            output_bias=True,
            name="projector",
        )
        self.prototypes = PrototypeHead(projection_dim, num_prototypes)
        self.queues = [
            FeatureQueue(queue_size, projection_dim, seed=self.seed + crop, name=f"queue{crop}")
            for crop in range(num_global_crops if queue_size else 0)
        ]

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy of all crops' predictions with the global crops' assignments."""
        given = self.arguments
        if len(views) < 2:
            raise ValueError(
                f"SwAV compares crops of one image, so it needs at least two views; got {len(views)}."
            )
        frozen = self.clock.update < given.freeze_prototypes_updates
        features = self.encode_views(self.encoder, views, training)
        z = self.projector(features, training=training)
        scores = ops.split(self.prototypes(z, frozen=frozen), len(views))
        z = ops.split(z, len(views))[: given.num_global_crops]
        assignments = [self.assign(crop, scores[crop]) for crop in range(given.num_global_crops)]
        loss = losses.swav(ops.stack(scores), ops.stack(assignments), given.temperature)
        return Outputs(
            {"swav": loss},
            features=ops.split(features, len(views)),
            assignments=ops.argmax(assignments[0], axis=1),
            state={"projections": z},
        )

    def assign(self, crop: int, scores: KerasTensor) -> KerasTensor:
        """Assignments `(batch, num_prototypes)` of a global crop, balanced together with a full queue."""
        given, batch, mask = self.arguments, ops.shape(scores)[0], None
        prior = losses.power_law_prior(given.num_prototypes, given.prior_exponent)
        if self.queues:
            in_use = ops.logical_and(
                ops.logical_not(self.clock.before_epoch(given.queue_start_epoch)),
                self.clock.update * batch * self.num_replicas >= given.queue_size,
            )
            # Every replica holds the same queue, whose rows must count once.
            in_use = ops.logical_and(in_use, ops.equal(self.row_offset(1), 0))
            queued = self.prototypes(ops.convert_to_tensor(self.queues[crop].features))
            scores = ops.concatenate([scores, queued])
            mask = ops.logical_or(ops.arange(ops.shape(scores)[0], dtype="int32") < batch, in_use)
        return losses.sinkhorn(
            scores,
            given.sinkhorn_temperature,
            given.sinkhorn_iterations,
            prior=prior,
            mask=mask,
            gather=self.gather,
        )[:batch]

    def after_update(self, state: dict) -> None:
        """Puts the embeddings of the global batch into the queues."""
        for queue, z in zip(self.queues, state["projections"], strict=False):
            queue.enqueue(self.gather(z))
