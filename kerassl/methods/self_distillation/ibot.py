"""iBOT: DINO across crops, and prediction of the teacher's assignment of each masked patch.

"iBOT: Image BERT Pre-Training with Online Tokenizer", arXiv 2111.07832, equations 1 to 3.
Official code: bytedance/ibot, `main_ibot.py`, `models/head.py`, `loader.py`.

- The loss of hidden patches is their mean within a crop, as in the official code; the paper sums.
- Block masks are drawn in a form that XLA compiles: see `kerassl.views.block_masks`.
- A hidden patch is replaced by a learned token before its position is added. The token is a weight of the
  method, so the exported encoder has none. It starts at zero, as in the official code.
- With `share_head=False` patches have their own head; the official code then splits only the last layer.
- Images and patches go through the head separately, which matters for batch norm only.
- Both centers used in a step come from the previous steps; they are updated after the optimizer. The patch
  center is the mean over all patches, hidden or not.
- Prototypes receive no gradient during the first epoch.
- The embedding is the teacher's, which the paper evaluates.
"""

from collections.abc import Callable

from keras import KerasTensor, Model, layers, ops

from kerassl import engine, losses
from kerassl.backbones.feature_maps import check_tokens
from kerassl.methods.self_distillation.dino import DINO_PAPER, SHORT_DINO, SHORT_VIT
from kerassl.methods.self_distillation.prototype_teacher import PrototypeTeacher
from kerassl.training import Batch, Fraction, NonNegativeFloat, Outputs, PositiveInt, Recipe
from kerassl.views import MaskedCrops
from kerassl.views.choice import choose_views

SHORT_IBOT = {**SHORT_DINO, "teacher_temperature": 0.04, "warmup_teacher_temperature_epochs": 0}


class iBOT(PrototypeTeacher):  # noqa: N801, the paper's name
    """iBOT (arXiv 2111.07832).

    Args:
        encoder: an encoder with the token interface of `kerassl.backbones.vit` that accepts the sizes of all
            crops.
        num_prototypes: number of prototypes K, the width of the head's output.
        teacher_temperature: divides the centered teacher logits; > 0.
        warmup_teacher_temperature_epochs: number of epochs over which it rises from
            `warmup_teacher_temperature`.
        cls_weight: weight of the loss across crops, lambda_1 in the paper.
        patch_weight: weight of the loss of hidden patches, lambda_2 in the paper.
        share_head: whether images and patches share a head, as in the released runs.
        mask_probability: probability that a global crop is masked.
        mask_ratio: share of hidden patches in a masked crop, `(low, high)`. Views that make masks set both.
        **teacher: the other arguments of `DINO` except those of ensembles: `student_temperature`,
            `warmup_teacher_temperature`, `momentum`, `center_momentum` (of both centers),
            `freeze_last_layer_epochs`, `num_global_crops`, `hidden_dim`, `bottleneck_dim`,
            `use_batch_norm_in_head`, `seed`, `name`.

    Raises:
        ValueError: for an encoder without tokens or global crops without masks.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=4, depth=2)
        >>> model = kerassl.methods.iBOT(encoder, num_prototypes=128, hidden_dim=64)
        >>> tuple(model.mask_token.shape), tuple(model.patch_center.shape)
        ((192,), (128,))
    """

    family, wants = "self_distillation", "tokens"
    # Masked crops are encoded by `encode_tokens`.
    supports_chunks = False
    terms, default_views = ("dino", "ibot"), ("ibot_cifar", "ibot")
    default_arguments = {
        "num_prototypes": 8192,
        "teacher_temperature": 0.07,
        "warmup_teacher_temperature_epochs": 30,
    }

    # arXiv 2111.07832; bytedance/ibot.
    recipes = {
        "ibot": Recipe(paper=DINO_PAPER, short=SHORT_VIT, short_arguments=SHORT_IBOT, backbone="vit_tiny")
    }

    def __init__(
        self,
        encoder: Model,
        *,
        views: str | layers.Layer | None = "default",
        cls_weight: NonNegativeFloat = 1.0,
        patch_weight: NonNegativeFloat = 1.0,
        share_head: bool = True,
        mask_probability: Fraction = 0.5,
        mask_ratio: tuple[float, float] = (0.1, 0.5),
        num_global_crops: PositiveInt = 2,
        **teacher,
    ) -> None:
        check_tokens(encoder, type(self).__name__, "hides patches of an image")
        options = {"patch_size": encoder.patch_size} if views == "default" else {}
        views = choose_views(views, self.default_views, encoder, num_views=2, options=options)
        if isinstance(views, MaskedCrops):
            self.arguments.mask_probability, self.arguments.mask_ratio = (
                views.mask_probability,
                views.mask_ratio,
            )
        elif views is not None:
            views = MaskedCrops(views, encoder.grid, num_global_crops, mask_probability, mask_ratio)
        super().__init__(encoder, views=views, num_global_crops=num_global_crops, **teacher)
        self.patch_head, self.teacher_patch_head = self.head, self.teacher_head
        if not share_head:
            self.patch_head = self.make_head("patch_head")
            (self.teacher_patch_head,) = self.ema_teachers.of(self.patch_head)
        self.mask_token = self.add_weight(
            name="mask_token", shape=(encoder.hidden_dim,), initializer="zeros", dtype="float32"
        )
        self.patch_center = self.make_center("patch_center")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """DINO across crops, and the cross entropy of hidden patches within the global crops."""
        crops, mask = self.crops_and_mask(views)
        teacher_features, teacher_tokens = self.teacher_pass(crops, training)
        features, tokens = self.student_pass(crops, mask, training)
        tokens, teacher_tokens, mask, counted = self.predicted_patches(tokens, teacher_tokens, mask)
        targets = self.teacher_targets(teacher_features, teacher_tokens, mask, counted, training)
        logits, patch_logits = self.logits_of_crops(features, tokens, len(crops), training)
        return Outputs(
            self.compare(logits, patch_logits, mask, targets),
            features=ops.split(features, len(crops)),
            embedding=teacher_features[: ops.shape(crops[0])[0]],
            assignments=ops.argmax(targets["targets"][0], axis=1),
            state=targets,
        )

    def student_pass(
        self, crops: tuple, mask: KerasTensor, training: bool
    ) -> tuple[KerasTensor, KerasTensor]:
        """Features of all crops, one crop after the other, and the patch tokens of the global crops."""
        num_global = self.arguments.num_global_crops
        patches = self.encoder.embed_patches(
            ops.concatenate(crops[:num_global]), mask=mask, mask_token=self.mask_token
        )
        tokens = self.encoder.encode_tokens(patches, training=training)
        features = self.encoder.pool_tokens(tokens)
        if len(crops) > num_global:
            local_features = self.encode_views(self.encoder, crops[num_global:], training)
            features = ops.concatenate([features, local_features])
        return features, tokens[:, self.encoder.num_prefix_tokens :]

    def teacher_pass(self, crops: tuple, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """The teacher's features and patch tokens of the unmasked global crops."""
        global_crops = ops.concatenate(crops[: self.arguments.num_global_crops])
        patches = self.teacher_encoder.embed_patches(global_crops)
        tokens = self.teacher_encoder.encode_tokens(patches, training=training)
        return self.teacher_encoder.pool_tokens(tokens), tokens[:, self.encoder.num_prefix_tokens :]

    def teacher_targets(
        self,
        features: KerasTensor,
        tokens: KerasTensor,
        mask: KerasTensor,
        counted: KerasTensor,
        training: bool,
    ) -> dict:
        """Targets of the student for crops and hidden patches, and the logits that update the centers."""
        logits = self.teacher_logits(self.teacher_head, features, training)
        patch_logits = each_token(self.teacher_logits, self.teacher_patch_head, tokens, training)
        targets = self.targets(logits, self.center)
        num_global = self.arguments.num_global_crops
        counted = ops.cast(counted, "float32")
        return {
            "targets": ops.reshape(targets, (num_global, -1, targets.shape[-1])),
            "patch_targets": self.targets(patch_logits, self.patch_center, mask),
            "teacher_logits": logits,
            "patch_logits_sum": ops.sum(patch_logits * counted[..., None], axis=(0, 1)),
            "patch_count": ops.sum(counted),
        }

    def logits_of_crops(
        self, features: KerasTensor, tokens: KerasTensor, num_crops: int, training: bool
    ) -> tuple[KerasTensor, KerasTensor]:
        """Logits `(num_crops, batch, num_prototypes)` of crops, and logits of the patch tokens."""
        logits = self.student_logits(self.head, features, training)
        patch_logits = each_token(self.student_logits, self.patch_head, tokens, training)
        return ops.reshape(logits, (num_crops, -1, logits.shape[-1])), patch_logits

    def compare(
        self, logits: KerasTensor, patch_logits: KerasTensor, mask: KerasTensor, targets: dict
    ) -> dict:
        """The loss terms of crops and of hidden patches."""
        given = self.arguments
        temperature = given.student_temperature
        return {
            "dino": given.cls_weight * losses.dino(logits, targets["targets"], temperature),
            "ibot": given.patch_weight
            * losses.ibot(patch_logits, targets["patch_targets"], mask, temperature),
        }

    def crops_and_mask(self, views: tuple) -> tuple[tuple, KerasTensor]:
        """The crops, and the masks `(num_global_crops * batch, patches)` of the global ones."""
        num_global = self.arguments.num_global_crops
        crops, masks = tuple(views[:-num_global]), views[-num_global:]
        if len(crops) < max(2, num_global) or any(len(mask.shape) != 2 for mask in masks):
            raise ValueError(
                f"{type(self).__name__} needs at least two crops and a mask (batch, patches) of each of the "
                f"{num_global} global ones after them, as kerassl.views.MaskedCrops makes; got tensors of "
                f"the shapes {[tuple(view.shape) for view in views]}."
            )
        return crops, ops.cast(ops.concatenate(masks), "bool")

    def predicted_patches(self, tokens: KerasTensor, teacher_tokens: KerasTensor, mask: KerasTensor) -> tuple:
        """Inputs of the head: student and teacher tokens, the hidden ones, and those of the center."""
        return tokens, teacher_tokens, mask, ops.ones_like(mask)

    def targets(
        self, logits: KerasTensor, center: KerasTensor, mask: KerasTensor | None = None
    ) -> KerasTensor:
        """Target probabilities of the student; for patches, `mask` marks the hidden ones."""
        return self.teacher_probabilities(logits, center)

    def after_update(self, state: dict) -> None:
        """Updates the centers."""
        super().after_update(state)
        rate = self.arguments.center_momentum
        total, count = (
            engine.replica_mean(state["patch_logits_sum"]),
            engine.replica_mean(state["patch_count"]),
        )
        # Without hidden patches the center stays.
        mean, rate = total / ops.where(count > 0, count, 1.0), ops.where(count > 0, rate, 1.0)
        self.patch_center.assign(rate * self.patch_center + (1 - rate) * mean)


def each_token(logits_of: Callable, head: Model, tokens: KerasTensor, training: bool) -> KerasTensor:
    """Logits `(batch, tokens, num_prototypes)` of tokens `(batch, tokens, dim)`, projected separately."""
    count, dim = tokens.shape[1:]
    logits = logits_of(head, ops.reshape(tokens, (-1, dim)), training)
    return ops.reshape(logits, (-1, count, logits.shape[-1]))
