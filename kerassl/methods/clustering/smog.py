"""SMoG: contrast with momentum groups, updated with every batch inside the graph.

"Unsupervised Visual Representation Learning by Synchronous Momentum Grouping", arXiv 2207.06167. The official
code was not available; details are those of lightly-ai/lightly (`heads.py`, SMoGPrototypes, and its example).

1. The student's embedding of one view is assigned to the nearest group, and each group moves toward its
   embeddings; the move stays in the graph of the step, and the stored groups are detached.
2. The teacher's embedding of the other view is assigned to the nearest group before the move.
3. The student's prediction is contrasted with the moved groups, with the teacher's group as the target.

- Groups start as random directions; in lightly's example, as vectors of positive entries.
- The views swap roles with every step.
- Embeddings are normalized before a group's mean is taken, groups after it.
- Every `reset_updates` updates, at the start of the next epoch, the groups are k-means of the last
  embeddings, and the teacher becomes the student. lightly does so within an epoch; the paper's 300 updates
  are about an epoch of ImageNet.
"""

from keras import KerasTensor, Model, ops, random

from kerassl.arguments import Fraction, NonNegativeInt, PositiveFloat, PositiveInt, check_at_most
from kerassl.clustering import kmeans
from kerassl.heads import mlp
from kerassl.heads.prototypes import unit
from kerassl.losses import moved_groups, smog
from kerassl.memory import FeatureQueue
from kerassl.methods.clustering.swav import SWAV_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class SMoG(SSLModel):
    """SMoG (arXiv 2207.06167).

    Args:
        num_groups: number of groups K.
        temperature: divides the cosines; > 0.
        group_momentum: EMA momentum of the groups, beta in the paper, in [0, 1].
        momentum: teacher momentum, constant, in [0, 1]; 0.99 in lightly's example.
        reset_updates: number of updates after which the groups are reset; 0 for never.
        bank_size: number of last embeddings that are clustered for a reset; in lightly, 300 batches of 256.
        hidden_dim: width of the hidden layers.
        projection_dim: width of the embedding.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for more groups than `bank_size`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> tuple(kerassl.methods.SMoG(encoder, num_groups=64, bank_size=512).groups.shape)
        (64, 128)
    """

    family, terms, default_views = "clustering", ("smog",), ("byol_cifar", "byol")

    # As in SwAV.
    recipes = {
        "smog": Recipe(
            paper=SWAV_PAPER,
            short_arguments={
                "num_groups": 100,
                "momentum": 0.99,
                "reset_updates": 120,
                "bank_size": 8192,
                "hidden_dim": 512,
            },
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_groups: PositiveInt = 3000,
        temperature: PositiveFloat = 0.1,
        group_momentum: Fraction = 0.99,
        momentum: Fraction = 0.999,
        reset_updates: NonNegativeInt = 300,
        bank_size: PositiveInt = 76_800,
        hidden_dim: PositiveInt = 2048,
        projection_dim: PositiveInt = 128,
        **common: Unpack[Common],
    ) -> None:
        check_at_most(bank_size=bank_size, num_groups=num_groups)
        super().__init__(encoder, num_prototypes=num_groups, **common)
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim,),
            projection_dim,
            hidden_bias=True,
            output_bias=True,
            output_batch_norm="plain",
            name="projector",
        )
        self.predictor = mlp(
            projection_dim,
            (hidden_dim,),
            projection_dim,
            hidden_bias=True,
            output_bias=True,
            name="predictor",
        )
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)
        self.bank = FeatureQueue(bank_size, projection_dim, seed=None, name="bank")

        def unit_rows(shape: tuple, dtype: str):
            return unit(random.normal(shape, dtype=dtype, seed=self.seed), axis=1)

        self.groups = self.add_weight(
            name="groups",
            shape=(num_groups, projection_dim),
            initializer=unit_rows,
            trainable=False,
            dtype="float32",
        )
        self.last_reset = self.add_weight(
            name="last_reset", shape=(), dtype="int32", initializer="zeros", trainable=False
        )

    def start_epoch(self, data: object, verbose: str | int) -> None:
        """Resets the groups from the last embeddings, if enough updates have passed."""
        given = self.arguments
        updates, last = (int(ops.convert_to_numpy(v)) for v in (self.clock.update, self.last_reset))
        bank = ops.convert_to_numpy(self.bank.features)
        bank = bank[bank.any(axis=1)]
        due = given.reset_updates and updates - last >= given.reset_updates
        if not due or len(bank) < given.num_groups:
            return
        groups, _, _ = kmeans(bank, given.num_groups, spherical=True, seed=(self.seed, updates))
        self.groups.assign(groups)
        self.last_reset.assign(updates)
        for teacher, student in (
            (self.teacher_encoder, self.encoder),
            (self.teacher_projector, self.projector),
        ):
            for target, source in zip(teacher.weights, student.weights, strict=True):
                target.assign(ops.convert_to_numpy(source))

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Contrast of one view's prediction with the groups; the target is the other view's group."""
        given = self.arguments
        swap = ops.equal(self.clock.step % 2, 1)
        view1, view2 = ops.where(swap, views[1], views[0]), ops.where(swap, views[0], views[1])
        features = self.encode(self.encoder, view1, training)
        z = self.projector(features, training=training)
        x = self.predictor(z, training=training)
        y = self.teacher_projector(self.encode(self.teacher_encoder, view2, training), training=training)
        groups = ops.convert_to_tensor(self.groups)
        # The groups move with the global batch.
        moved = moved_groups(
            groups, self.gather(z), self.gather(nearest_groups(z, groups)), given.group_momentum
        )
        assignments = nearest_groups(y, groups)
        loss = self.mean_over_replicas(smog(x, moved, assignments, given.temperature))
        return Outputs(
            {"smog": loss},
            features=features,
            assignments=assignments,
            state={"groups": ops.stop_gradient(moved), "embeddings": ops.stop_gradient(z)},
        )

    def after_update(self, state: dict) -> None:
        """Stores the moved groups and the embeddings of the global batch."""
        self.groups.assign(state["groups"])
        self.bank.enqueue(self.gather(state["embeddings"]))


def nearest_groups(embeddings: KerasTensor, groups: KerasTensor) -> KerasTensor:
    """int32 `(batch,)`, the group with the largest cosine."""
    cosines = ops.matmul(unit(ops.cast(embeddings, "float32"), axis=-1), ops.transpose(groups))
    return ops.cast(ops.argmax(cosines, axis=1), "int32")
