"""MSN: match a masked crop's prototype assignment with the teacher's assignment of another, whole crop.

"Masked Siamese Networks for Label-Efficient Learning", arXiv 2204.07141, equation 1. Official code:
facebookresearch/msn, `src/msn_train.py`, `src/losses.py`, `src/deit.py`.

- Every image has its own mask; in the official code all images of a batch share one.
- Positions are added before patches are dropped, and the class token stays, as in the official code.
- Crops of one size go through encoder and head together, as in the official code, so batch norm sees each
  size separately.
- Anchors and targets are compared with the same prototypes, which have no teacher. They are normalized after
  each update; in the official code their norm is free and starts at 0.58. Cosines ignore the norm, but it
  sets how far a step of Adam turns a prototype: here less than in the official code at first, and more once
  the official norms have grown.
- The launcher clips the gradient of all variables together; the official code excludes the prototypes. The
  launcher's rate ends at 0; the official rate ends at a tenth of its peak, because its schedules of rate and
  decay also plan for a quarter more updates.
- `num_heads` heads form a weighted ensemble (arXiv 2211.09981). Each head balances its own targets and pulls
  its own mean to the prior. That paper omits Sinkhorn-Knopp and has a regularization of 4.
- The embedding is the teacher's, which the paper evaluates.
"""

from keras import KerasTensor, Model, ops

from kerassl import losses, schedules
from kerassl.arguments import (
    Annotated,
    Bound,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from kerassl.backbones.patches import patch_grid
from kerassl.heads import EnsembleHead
from kerassl.losses.clustering.weighted_ensemble import Weighting
from kerassl.methods.self_distillation.dino import SHORT_VIT
from kerassl.metrics import assigned_prototypes
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack
from kerassl.views import random_patch_permutation
from kerassl.views.multiview import same_size_batches

# The official schedules plan for a quarter more updates than the run has.
PLANNED_UPDATES = 1.25


MSN_PAPER = {
    "optimizer": "adamw",
    "learning_rate": 2.5e-4,
    "weight_decay": 0.04,
    "final_weight_decay": 0.4,
    "warmup_epochs": 15,
    "options": {"global_clipnorm": 3.0},
}
# At most as many prototypes as a batch has images, since the images spread over them.
SHORT_MSN = {"momentum": 0.99, "num_prototypes": 256, "hidden_dim": 512, "projection_dim": 128}


class MSN(SSLModel):
    """MSN (arXiv 2204.07141).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)` that accepts the sizes of all
            crops, with the token interface of `kerassl.backbones.vit` unless `drop_ratio` is 0.
        num_prototypes: number of prototypes K of each head.
        temperature: divides the cosines, tau in the paper; > 0.
        sharpening: the target's probabilities are raised to the power `1 / sharpening`, T in the paper; > 0.
        sinkhorn_iterations: iterations of Sinkhorn-Knopp on the targets; 0 for none.
        regularization_weight: weight of the divergence of the anchors' mean probabilities from the prior,
            lambda in the paper; >= 0.
        drop_ratio: share of the patches dropped from anchors of the target's size, in [0, 1); smaller focal
            anchors are whole. The paper: 0.15 for ViT-S, more for larger models, 0.7 for ViT-L.
        momentum: teacher momentum at the first update, in [0, 1]; it rises linearly to 1, which it would
            reach after 1.25 runs.
        hidden_dim: width of the projector's two hidden layers.
        projection_dim: width of the embedding that is compared with the prototypes.
        use_batch_norm_in_head: whether the hidden layers are batch-normalized.
        num_heads: number of heads of the ensemble, each with its own prototypes; 1 is plain MSN.
        ensemble_weighting: how the heads' losses are weighed: "uniform", "probability" or "entropy"; see
            `kerassl.losses.weighted_ensemble`.
        ensemble_temperature: temperature of the entropy weights, gamma in arXiv 2211.09981; > 0.
        ensemble_warmup_epochs: number of epochs over which that temperature falls from 0.5 to
            `ensemble_temperature`.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for an encoder that cannot drop patches; in training, for fewer than two views.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=8, depth=1)
        >>> model = kerassl.methods.MSN(encoder, num_prototypes=64, hidden_dim=64)
        >>> tuple(model.head.prototypes.prototypes.shape)
        (1, 256, 64)
    """

    family, terms, default_views = "clustering", ("msn", "prior_divergence"), ("msn_cifar", "msn")

    # facebookresearch/msn, `configs/pretrain/msn_vits16.yaml`, whose 1e-3 is for batches of 1024.
    recipes = {
        "msn": Recipe(paper=MSN_PAPER, short=SHORT_VIT, short_arguments=SHORT_MSN, backbone="vit_tiny")
    }

    def __init__(
        self,
        encoder: Model,
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
        ensemble_weighting: Weighting = "uniform",
        ensemble_temperature: PositiveFloat = 0.05,
        ensemble_warmup_epochs: NonNegativeFloat = 30,
        **common: Unpack[Common],
    ) -> None:
        if drop_ratio and not hasattr(encoder, "encode_tokens"):
            raise ValueError(
                f"{type(self).__name__} drops patches of images, which {encoder.name!r} cannot do. Use "
                "an encoder with the token interface, for example kerassl.backbones.vit(input_shape, "
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
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.head.projector)

    @property
    def supports_chunks(self) -> bool:
        """Whether all images are encoded whole."""
        return not self.arguments.drop_ratio

    @property
    def embedding_encoder(self) -> Model:
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
        # Over the global batch, as for the targets.
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
        """Features of anchors of one size; anchors of the target's size drop some patches."""
        if not self.arguments.drop_ratio or crops.shape[1:3] != target.shape[1:3]:
            return self.encode(self.encoder, crops, training)
        num_anchors = ops.shape(crops)[0] // ops.shape(target)[0]
        visible = self.visible_patches(num_anchors, target, training)
        tokens = self.encoder.embed_patches(crops, ops.reshape(visible, (-1, visible.shape[-1])))
        return self.encoder.pool_tokens(self.encoder.encode_tokens(tokens, training=training))

    def visible_patches(
        self, num_anchors: int | KerasTensor, crops: KerasTensor, training: bool
    ) -> KerasTensor:
        """int32 `(num_anchors, batch, num_visible)`: the patches that anchors of the target's size keep."""
        rows, columns = patch_grid(crops.shape[1:3], self.encoder.patch_size)
        num_visible = max(1, int(rows * columns * (1 - self.arguments.drop_ratio)))
        batch, rng = ops.shape(crops)[0], self.clock.seed("patches", training)
        # Drawn for the global batch, so that an image's patches do not depend on the number of devices.
        everyone = random_patch_permutation(num_anchors * batch * self.num_replicas, rows * columns, rng)
        everyone = ops.reshape(everyone[:, :num_visible], (num_anchors, -1, num_visible))
        return ops.take(everyone, self.row_offset(batch) + ops.arange(batch, dtype="int32"), axis=1)

    def prior(self) -> KerasTensor | None:
        """The prior: the share of images that each prototype should get; `None` for equal shares."""
        return None

    def teacher_momentum(self) -> KerasTensor:
        """Rises linearly towards 1, which it would reach after 1.25 times the run."""
        planned = PLANNED_UPDATES * ops.cast(self.clock.total_updates, "float32")
        return schedules.linear(self.arguments.momentum, 1.0, self.clock.update, planned)
