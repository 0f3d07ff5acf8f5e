"""MSN: a crop with patches left out has the prototypes that a teacher gives another, whole crop.

"Masked Siamese Networks for Label-Efficient Learning", arXiv 2204.07141, equation 1. Official code:
facebookresearch/msn, `src/msn_train.py`, `src/losses.py`, `src/deit.py`.

- Every image leaves out patches of its own; in the official code all images of a batch leave out the same.
- Positions are added before patches are left out, and the class token stays, as there.
- Crops of one size go through encoder and head together, as there; so batch norm sees the sizes apart.
- Anchors and targets are compared with the same prototypes, which have no teacher. They are brought back to
  length one after each update; there their length is free, from 0.58 on. Cosines do not see it, but it says
  how far a step of Adam turns them: here less at first, and more when those there have grown.
- The launcher clips the gradient of all variables together, there without the prototypes, and ends with a
  rate of 0, there with a tenth of its peak, for rate and decay plan for a quarter more updates, too.
- `num_heads` heads are a weighted ensemble (arXiv 2211.09981), whose targets are balanced and whose means are
  drawn to the prior head by head. That paper leaves Sinkhorn-Knopp out and has a regularisation of 4.
- The embedding is the teacher's, which the paper evaluates.
"""

import keras
from keras import KerasTensor, ops

from kerassl import losses, schedules
from kerassl.arguments import (
    Annotated,
    Bound,
    Fraction,
    Literal,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from kerassl.backbones.patches import patch_grid
from kerassl.heads import EnsembleHead
from kerassl.losses.clustering.weighted_ensemble import WEIGHTINGS
from kerassl.methods.self_distillation.dino import SHORT_VIT
from kerassl.metrics import assigned_prototypes
from kerassl.teachers import make_teacher, update_teacher
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack
from kerassl.views import random_patch_permutation
from kerassl.views.multiview import same_size_batches

# The official code plans for a quarter more updates than it does.
PLANNED_UPDATES = 1.25


MSN_PAPER = {
    "optimizer": "adamw",
    "learning_rate": 2.5e-4,
    "weight_decay": 0.04,
    "final_weight_decay": 0.4,
    "warmup_epochs": 15,
    "options": {"global_clipnorm": 3.0},
}
# No more prototypes than images in a batch, over which they are spread.
SHORT_MSN = {"momentum": 0.99, "num_prototypes": 256, "hidden_dim": 512, "projection_dim": 128}


@keras.saving.register_keras_serializable("kerassl")
class MSN(SSLModel):
    """MSN (arXiv 2204.07141).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)` that accepts the sizes of all
            crops, with the token interface of `kerassl.backbones.vit` unless `drop_ratio` is 0.
        num_prototypes: number of prototypes K of a head.
        temperature: divides the cosines, tau in the paper; > 0.
        sharpening: to the power of its inverse go the target's probabilities, T in the paper; > 0.
        sinkhorn_iterations: iterations of Sinkhorn-Knopp on the targets; 0 for none.
        regularization_weight: of the divergence of the anchors' mean probabilities from the wanted ones,
            lambda in the paper; >= 0.
        drop_ratio: share of the patches left out of anchors that are as large as the target, in [0, 1);
            smaller, focal ones are whole. The paper: 0.15 for ViT-S, more for larger ones, 0.7 for ViT-L.
        momentum: of the teacher at the first update, in [0, 1]; it rises to 1 in a straight line that ends
            after 1.25 runs.
        hidden_dim: width of the projector's two hidden layers.
        projection_dim: width of the embedding that meets the prototypes.
        use_batch_norm_in_head: whether the hidden layers are batch-normalised.
        num_heads: heads of the ensemble, each with prototypes of its own; 1 is plain MSN.
        ensemble_weighting: how the heads' losses are weighed: "uniform", "probability" or "entropy"; see
            `kerassl.losses.weighted_ensemble`.
        ensemble_temperature: of the weights by entropy, gamma in arXiv 2211.09981; > 0.
        ensemble_warmup_epochs: epochs over which that temperature falls there from 0.5.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for a temperature or sharpening <= 0, a ratio or momentum out of its range, a negative
            weight or number of iterations, an encoder that cannot leave out patches, no head, or an unknown
            weighting.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=8, depth=1)
        >>> model = kerassl.methods.MSN(encoder, num_prototypes=64, hidden_dim=64)
        >>> tuple(model.head.prototypes.prototypes.shape)
        (1, 256, 64)
    """

    family = "clustering"
    default_views = ("msn_cifar", "msn")
    terms = ("msn", "prior_divergence")

    # facebookresearch/msn, `configs/pretrain/msn_vits16.yaml`, whose 1e-3 is for batches of 1024.
    recipes = {
        "msn": Recipe(
            paper=MSN_PAPER,
            short=SHORT_VIT,
            short_arguments=SHORT_MSN,
            backbone="vit_tiny",
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        num_prototypes: PositiveInt = 1024,
        temperature: PositiveFloat = 0.1,
        sharpening: PositiveFloat = 0.25,
        sinkhorn_iterations: NonNegativeInt = 3,
        regularization_weight: NonNegativeFloat = 1.0,
        drop_ratio: Annotated[float, Bound(0, 1, open_high=True)] = 0.15,
        momentum: Fraction = 0.996,
        hidden_dim: PositiveInt = 2048,
        projection_dim: PositiveInt = 256,
        use_batch_norm_in_head: bool = True,
        num_heads: PositiveInt = 1,
        ensemble_weighting: Literal[WEIGHTINGS] = "uniform",
        ensemble_temperature: PositiveFloat = 0.05,
        ensemble_warmup_epochs: NonNegativeFloat = 30,
        **common: Unpack[Common],
    ) -> None:
        if drop_ratio and not hasattr(encoder, "encode_tokens"):
            raise ValueError(
                f"{type(self).__name__} leaves out patches of images, which {encoder.name!r} cannot do. Use "
                "an encoder with the token interface, such as kerassl.backbones.vit(input_shape, "
                "patch_size=16), or drop_ratio=0, with which any encoder learns from crops alone."
            )
        super().__init__(encoder, num_prototypes=num_heads * num_prototypes, **common)
        self.head = EnsembleHead(
            self.feature_dim,
            num_prototypes=num_prototypes,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            bottleneck_dim=projection_dim,
            use_batch_norm=use_batch_norm_in_head,
        )
        self.teacher_encoder = make_teacher(self.encoder)
        self.teacher_projector = make_teacher(self.head.projector)

    @property
    def supports_chunks(self) -> bool:
        """Whether all images are encoded whole."""
        return not self.arguments.drop_ratio

    @property
    def embedding_encoder(self) -> keras.Model:
        """The teacher's encoder."""
        return self.teacher_encoder

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy of the anchors with the target, and the divergence of their mean from the prior."""
        given = self.arguments
        if len(views) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least two views, a target and its anchors; got {len(views)}."
            )
        target, *anchors = views
        rows = ops.shape(target)[0]
        heads = given.num_heads, given.num_prototypes
        features = [self.encode_anchors(crops, target, training) for crops in same_size_batches(anchors)]
        logits = ops.concatenate([self.head(f, training=training) for f in features])
        logits = ops.reshape(logits, (len(anchors), rows, *heads))

        target_features = self.encode(self.teacher_encoder, target, training)
        target_z = self.teacher_projector(target_features, training=training)
        targets = losses.msn_targets(
            self.head.prototypes(target_z),
            given.temperature,
            given.sharpening,
            given.sinkhorn_iterations,
            prior=self.prior(),
            gather=self.gather,
        )
        cross_entropy = losses.weighted_ensemble(
            losses.msn,
            logits,
            targets,
            given.temperature,
            given.ensemble_weighting,
            self.clock.ramp(0.5, given.ensemble_temperature, given.ensemble_warmup_epochs),
        )
        probabilities = ops.softmax(logits / given.temperature, axis=-1)
        # Of the global batch, as the targets are.
        mean = self.mean_over_replicas(ops.mean(probabilities, axis=(0, 1)))
        divergence = losses.prior_divergence(mean, self.prior())
        terms = {"msn": cross_entropy, "prior_divergence": given.regularization_weight * divergence}
        return Outputs(
            terms,
            features=ops.split(ops.concatenate(features), len(anchors)),
            embedding=target_features,
            assignments=assigned_prototypes(targets),
        )

    def encode_anchors(self, crops: KerasTensor, target: KerasTensor, training: bool) -> KerasTensor:
        """Features of anchors of one size, without some of the patches if it is the target's size."""
        if not self.arguments.drop_ratio or crops.shape[1:3] != target.shape[1:3]:
            return self.encode(self.encoder, crops, training)
        num_anchors = ops.shape(crops)[0] // ops.shape(target)[0]
        visible = self.visible_patches(num_anchors, target, training)
        tokens = self.encoder.embed_patches(crops, ops.reshape(visible, (-1, visible.shape[-1])))
        return self.encoder.pool_tokens(self.encoder.encode_tokens(tokens, training=training))

    def visible_patches(
        self, num_anchors: int | KerasTensor, crops: KerasTensor, training: bool
    ) -> KerasTensor:
        """int32 `(num_anchors, batch, num_visible)`: the patches that anchors of the crops' size keep."""
        rows, columns = patch_grid(crops.shape[1:3], self.encoder.patch_size)
        num_visible = max(1, int(rows * columns * (1 - self.arguments.drop_ratio)))
        batch, rng = ops.shape(crops)[0], self.clock.seed("patches", training)
        # Drawn for the global batch, so that an image's patches do not depend on the number of devices.
        everyone = random_patch_permutation(num_anchors * batch * self.num_replicas, rows * columns, rng)
        everyone = ops.reshape(everyone[:, :num_visible], (num_anchors, -1, num_visible))
        return ops.take(everyone, self.row_offset(batch) + ops.arange(batch, dtype="int32"), axis=1)

    def prior(self) -> KerasTensor | None:
        """The share of the images that each prototype should get; `None` for equal ones."""
        return None

    def after_update(self, state: dict) -> None:
        """Moves the teacher."""
        planned = PLANNED_UPDATES * ops.cast(self.clock.total_updates, "float32")
        momentum = schedules.linear(self.arguments.momentum, 1.0, self.clock.update, planned)
        update_teacher(self.teacher_encoder, self.encoder, momentum)
        update_teacher(self.teacher_projector, self.head.projector, momentum)
