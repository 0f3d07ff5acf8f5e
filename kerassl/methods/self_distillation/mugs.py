"""Mugs: DINO with contrasts of instances and of local groups of neighbors, on one network.

"Mugs: A Multi-Granular Self-Supervised Learning Framework", arXiv 2203.14415, equations 1 to 6. Official
code: sail-sg/mugs, `main.py`, `src/model.py`, `src/loss.py`.

1. Instances: a crop's prediction finds the teacher's projection of another view among past projections.
2. Local groups: the mean of a crop's tokens before the final layer norm finds its nearest neighbors in a
   memory; a transformer block relates it to them, and its output is contrasted as in 1.
3. Groups: DINO (`kerassl/methods/self_distillation/dino.py`).

- Each loss is the average of the mean over pairs of large crops and the mean over small crops, if there are
  any.
- Student and teacher see the same large crops, as with the official `vanilla_weak_augmentation`; otherwise
  the official student sees AutoAugment's crops, which this library does not include.
- Neighbors are stored as unit vectors, because the block's layer norm keeps only their direction.
- The memories store each batch once; the official pointer skips slots.
- The patch embedding has the common learning rate; in the official code, a fifth of it.
- The embedding is the teacher's, which the paper evaluates.
"""

from keras import KerasTensor, Model, initializers, ops

from kerassl import losses
from kerassl.arguments import Annotated, Bound, NonNegativeFloat, PositiveFloat, PositiveInt, check_at_most
from kerassl.backbones import TransformerBlock, ViT
from kerassl.backbones.vit import check_vit
from kerassl.heads import mlp
from kerassl.heads.mlp import fan_in_uniform
from kerassl.memory import FeatureQueue
from kerassl.methods.self_distillation.dino import DINO_PAPER, SHORT_DINO, SHORT_VIT
from kerassl.methods.self_distillation.prototype_teacher import PrototypeTeacher
from kerassl.training import Batch, Outputs, Recipe
from kerassl.views.multiview import same_size_batches


class Mugs(PrototypeTeacher):
    """Mugs (arXiv 2203.14415).

    Args:
        encoder: a ViT of `kerassl.backbones` that accepts the sizes of all crops.
        instance_weight: weight of the contrast of instances, at least 0.
        local_group_weight: weight of the contrast of local groups, at least 0.
        group_weight: weight of DINO's loss, at least 0. The three weights are divided by their sum.
        temperature: divides the cosines of both contrasts; > 0.
        queue_size: number of past keys, for each contrast.
        num_neighbors: number of neighbors in a local group.
        memory_size: number of mean tokens that are searched for neighbors.
        num_prototypes: as in `DINO`.
        teacher_temperature: as in `DINO`.
        warmup_teacher_temperature_epochs: as in `DINO`.
        hidden_dim: width of the heads' hidden layers.
        prediction_hidden_dim: width of the predictors' hidden layer.
        bottleneck_dim: width of the projections, and of the embedding that is compared with the prototypes.
        **kwargs: the other arguments of `DINO` except those of ensembles: `student_temperature`,
            `warmup_teacher_temperature`, `momentum`, `center_momentum`, `freeze_last_layer_epochs`,
            `num_global_crops`, `use_batch_norm_in_head` (in the projectors, too), `seed`, `name`.

    Raises:
        ValueError: for an encoder that is not a ViT, three weights of 0, or fewer rows in the memory than
            neighbors, and as `DINO`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=4, depth=2)
        >>> model = kerassl.methods.Mugs(encoder, num_prototypes=128, queue_size=256, memory_size=256)
        >>> model.step_metrics.terms
        ('instance', 'local_group', 'dino')
    """

    family, default_views, wants = "self_distillation", ("dino_cifar", "ibot"), "tokens"
    # Tokens are encoded by `encode_tokens`.
    supports_chunks = False
    terms = ("instance", "local_group", "dino")
    default_arguments = {"teacher_temperature": 0.07, "warmup_teacher_temperature_epochs": 30}

    # arXiv 2203.14415; sail-sg/mugs.
    recipes = {
        "mugs": Recipe(
            paper={**DINO_PAPER, "learning_rate": 8e-4, "final_weight_decay": 0.2},
            short=SHORT_VIT,
            short_arguments={
                **SHORT_DINO,
                "teacher_temperature": 0.04,
                "warmup_teacher_temperature_epochs": 0,
                "queue_size": 4096,
                "memory_size": 4096,
                "prediction_hidden_dim": 512,
            },
            backbone="vit_tiny",
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        instance_weight: NonNegativeFloat = 1.0,
        local_group_weight: NonNegativeFloat = 1.0,
        group_weight: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 0.2,
        queue_size: PositiveInt = 65536,
        num_neighbors: PositiveInt = 8,
        memory_size: PositiveInt = 65536,
        num_global_crops: Annotated[int, Bound(2)] = 2,
        prediction_hidden_dim: PositiveInt = 4096,
        **teacher,
    ) -> None:
        check_vit(encoder, "Mugs", "uses the patches of an image before the final norm")
        if instance_weight + local_group_weight + group_weight == 0:
            raise ValueError("One of the three weights must be > 0, got 0 for all.")
        check_at_most(memory_size=memory_size, num_neighbors=num_neighbors)
        super().__init__(encoder, num_global_crops=num_global_crops, **teacher)
        hidden_dim, bottleneck_dim = self.arguments.hidden_dim, self.arguments.bottleneck_dim
        self.projectors = [
            mlp(
                self.feature_dim,
                (hidden_dim, hidden_dim),
                bottleneck_dim,
                activation="gelu",
                hidden_batch_norm=self.arguments.use_batch_norm_in_head,
                initializer=initializers.RandomNormal(stddev=0.02),
                name=f"{part}_projector",
            )
            for part in PARTS
        ]
        self.predictors = [
            mlp(
                bottleneck_dim,
                (prediction_hidden_dim,),
                bottleneck_dim,
                activation="gelu",
                hidden_batch_norm=False,
                initializer=fan_in_uniform(),
                name=f"{part}_predictor",
            )
            for part in PARTS
        ]
        self.block = TransformerBlock(self.feature_dim, self.encoder.num_heads, name="block")
        self.teacher_projectors = list(self.ema_teachers.of(*self.projectors))
        (self.teacher_block,) = self.ema_teachers.of(self.block)
        self.queues = [
            FeatureQueue(queue_size, bottleneck_dim, self.seed, name=f"{part}_queue") for part in PARTS
        ]
        self.memory = FeatureQueue(memory_size, self.feature_dim, self.seed, name="memory")
        self.teacher_memory = FeatureQueue(memory_size, self.feature_dim, self.seed, name="teacher_memory")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The three losses of all crops, with the teacher's other large crops as targets."""
        given, num_global = self.arguments, self.arguments.num_global_crops
        if len(views) < 2:
            raise ValueError(
                f"Mugs compares crops of one image, so it needs at least two views; got {len(views)}."
            )
        features, means = self.features_and_means(self.encoder, views, training)
        rows = ops.shape(features)[0] // len(views)
        teacher_features, teacher_means = self.features_and_means(
            self.teacher_encoder, views[:num_global], training
        )
        inputs = features, self.relate(self.encoder, self.block, self.memory, means)
        teacher_inputs = (
            teacher_features,
            self.relate(self.teacher_encoder, self.teacher_block, self.teacher_memory, teacher_means),
        )

        def by_view(x: KerasTensor, count: int):
            return ops.reshape(x, (count, rows, x.shape[-1]))

        contrasts, keys = [], []
        for part in range(2):
            z = self.projectors[part](inputs[part], training=training)
            z = ops.normalize(ops.cast(z, "float32"), axis=-1, epsilon=1e-12)
            predictions = by_view(self.predictors[part](z, training=training), len(views))
            key = self.teacher_projectors[part](teacher_inputs[part], training=training)
            key = by_view(key, num_global)
            queue = ops.convert_to_tensor(self.queues[part].features)
            pairs = losses.multi_crop_info_nce(predictions, key, queue, given.temperature)
            contrasts.append(mean_of_large_and_small(pairs))
            keys.append(ops.stop_gradient(key))

        student_logits = by_view(self.student_logits(self.head, features, training), len(views))
        teacher_logits = self.teacher_logits(self.teacher_head, teacher_features, training)
        targets = by_view(self.teacher_probabilities(teacher_logits, self.center), num_global)
        temperature = given.student_temperature
        group = large = losses.dino(student_logits[:num_global], targets, temperature)
        if len(views) > num_global:
            # The mean over all pairs is the mean over large and over small crops, weighted by their numbers.
            locals_ = len(views) - num_global
            every = losses.dino(student_logits, targets, temperature)
            small = ((len(views) - 1) * every - (num_global - 1) * large) / locals_
            group = (large + small) / 2

        total = given.instance_weight + given.local_group_weight + given.group_weight
        terms = {
            "instance": given.instance_weight / total * contrasts[0],
            "local_group": given.local_group_weight / total * contrasts[1],
            "dino": given.group_weight / total * group,
        }
        return Outputs(
            terms,
            features=ops.split(features, len(views)),
            embedding=teacher_features[:rows],
            assignments=ops.argmax(targets[0], axis=1),
            state={
                "teacher_logits": teacher_logits,
                "keys": keys,
                "means": ops.stop_gradient(means[:rows]),
                "teacher_means": ops.stop_gradient(teacher_means[:rows]),
            },
        )

    def features_and_means(
        self, encoder: ViT, crops: tuple, training: bool
    ) -> tuple[KerasTensor, KerasTensor]:
        """Features and mean tokens `(num_crops * batch, dim)`, one crop after the other."""
        features, means = [], []
        for images in same_size_batches(crops):
            patches = encoder.embed_patches(images)
            tokens = encoder.encode_tokens(patches, training=training, normalize=False)
            features.append(encoder.pool_tokens(encoder.final_norm(tokens)))
            means.append(ops.mean(tokens, axis=1))
        return ops.concatenate(features), ops.concatenate(means)

    def relate(
        self, encoder: ViT, block: TransformerBlock, memory: FeatureQueue, means: KerasTensor
    ) -> KerasTensor:
        """Output of a block for mean tokens beside their neighbors, normalized as the encoder's tokens."""
        neighbors = memory.neighbors(means, self.arguments.num_neighbors) * self.feature_dim**0.5
        group = ops.concatenate([means[:, None], ops.cast(neighbors, means.dtype)], axis=1)
        return encoder.final_norm(block(group)[:, 0])

    def after_update(self, state: dict) -> None:
        """Updates the center and puts the global batch into queues and memories."""
        super().after_update(state)
        # One view after the other, so that the order does not depend on the number of replicas.
        for queue, keys in zip(self.queues, state["keys"], strict=True):
            for view in range(self.arguments.num_global_crops):
                queue.enqueue(self.gather(keys[view]))
        self.memory.enqueue(self.gather(state["means"]))
        self.teacher_memory.enqueue(self.gather(state["teacher_means"]))


PARTS = ("instance", "local_group")


def mean_of_large_and_small(pairs: KerasTensor) -> KerasTensor:
    """Average of the mean over large crops, each with the other views, and over small ones, if any.

    `(num_large, num_crops)`, the large crops first.
    """
    num_large, num_crops = pairs.shape
    large = pairs[:, :num_large]
    others = ops.sum(large) - ops.sum(large * ops.eye(num_large))
    mean = others / (num_large * (num_large - 1))
    return mean if num_crops == num_large else (mean + ops.mean(pairs[:, num_large:])) / 2
