"""DINOv2's objective: iBOT with Sinkhorn-Knopp targets and features spread over the sphere.

"DINOv2: Learning Robust Visual Features without Supervision", arXiv 2304.07193, section 4.
Official code: facebookresearch/dinov2, `dinov2/train/ssl_meta_arch.py`, `dinov2/loss`, `dinov2/configs`.

- The official code sums the losses of local and of global crops, each divided by the number of all pairs;
  together they are DINO's mean over pairs, the term `dino`.
- Each crop is masked at random independently; in the official code exactly half of a batch's crops are.
- At most the upper `mask_ratio` of a crop's patches is predicted: the first ones, if more are hidden.
- KoLeo searches the global batch of one crop for neighbors, so that N devices equal one; the official code
  searches within a device.
- Softmax centering divides by the number of hidden patches of the global batch; the official code weights
  each device's mean equally.
- Images and patches share a head by default, as in the official default configuration; the large models have
  two heads with different bottlenecks.
- The prototypes have no gain; the official gain is learned, from 1. The mask token has no weight decay; the
  official one has.
- A block of hidden patches has at least as many patches as iBOT's; the official minimum is 4.
- The launcher clips the gradient of each variable; the official code clips the gradient of each network as a
  whole.
- Not included: layer-wise learning rate decay, a smaller rate of the patch embedding, LayerScale, and the
  last phase at high resolution. Stochastic depth, 0.3 in the official code, is the encoder's `drop_path`.
"""

import math

from keras import KerasTensor, Model, ops

from kerassl import losses
from kerassl.backbones import take_patches
from kerassl.methods.self_distillation.dino import DINO_PAPER, SHORT_VIT
from kerassl.methods.self_distillation.ibot import SHORT_IBOT, iBOT
from kerassl.training import Batch, Literal, NonNegativeFloat, Outputs, PositiveInt, Recipe

DINOV2_PAPER = {**DINO_PAPER, "learning_rate": 2e-3, "batch_power": 0.5}


class DINOv2(iBOT):
    """DINOv2 (arXiv 2304.07193).

    Args:
        encoder: an encoder with the token interface of `kerassl.backbones.vit` that accepts the sizes of all
            crops.
        num_prototypes: number of prototypes K, the width of the head's output; 131072 for the paper's large
            models.
        centering: "sinkhorn", as for the paper's large models, or "softmax", DINO's running centers, the
            official default configuration.
        sinkhorn_iterations: iterations of Sinkhorn-Knopp; at least 1.
        koleo_weight: weight of KoLeo, which is summed over the global crops.
        momentum: teacher momentum at the first update, in [0, 1]; 0.994 for the paper's large models.
        **kwargs: the other arguments of `iBOT`.

    Raises:
        ValueError: as `iBOT`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=4, depth=2)
        >>> model = kerassl.methods.DINOv2(encoder, num_prototypes=128, hidden_dim=64, share_head=False)
        >>> model.step_metrics.terms
        ('dino', 'ibot', 'koleo')
    """

    terms, default_views = ("dino", "ibot", "koleo"), ("ibot_cifar", "dinov2")
    default_arguments = {"num_prototypes": 65536, "momentum": 0.992}

    # facebookresearch/dinov2, whose 0.004 at 1024 grows with the root of the batch and is 0.002 at 256.
    recipes = {
        "dinov2": Recipe(paper=DINOV2_PAPER, short=SHORT_VIT, short_arguments=SHORT_IBOT, backbone="vit_tiny")
    }

    def __init__(
        self,
        encoder: Model,
        *,
        centering: Literal["sinkhorn", "softmax"] = "sinkhorn",
        sinkhorn_iterations: PositiveInt = 3,
        koleo_weight: NonNegativeFloat = 0.1,
        **kwargs,
    ) -> None:
        super().__init__(encoder, **kwargs)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The terms of iBOT, and KoLeo of each global crop's features."""
        outputs = super().loss_terms(views, batch, training)
        return outputs._replace(terms={**outputs.terms, "koleo": self.spread(outputs.features)})

    def spread(self, features: tuple) -> KerasTensor:
        """Weighted KoLeo of the features of each global crop, given the features of all crops."""
        koleo = 0.0
        for view in features[: self.arguments.num_global_crops]:
            # Each replica searches the whole batch for the neighbors of its own rows.
            candidates, first_row = self.global_batch(view).values()
            koleo += losses.koleo(view, candidates=candidates and candidates[0], first_row=first_row)
        return self.arguments.koleo_weight * self.mean_over_replicas(koleo)

    def predicted_patches(self, tokens: KerasTensor, teacher_tokens: KerasTensor, mask: KerasTensor) -> tuple:
        """The hidden patches only, padded with visible ones of zero weight if fewer are hidden."""
        num_patches = mask.shape[1]
        most = max(1, math.ceil(self.arguments.mask_ratio[1] * num_patches))
        places = ops.arange(num_patches, dtype="int32")
        hidden_first = ops.argsort(ops.where(mask, places, places + num_patches), axis=1)[:, :most]
        mask = ops.take_along_axis(mask, hidden_first, axis=1)
        tokens, teacher_tokens = (take_patches(x, hidden_first) for x in (tokens, teacher_tokens))
        return tokens, teacher_tokens, mask, mask

    def targets(
        self, logits: KerasTensor, center: KerasTensor, mask: KerasTensor | None = None
    ) -> KerasTensor:
        """Assignments of the global batch; for patches, of the hidden ones."""
        if self.arguments.centering == "softmax":
            return super().targets(logits, center, mask)
        assignments = losses.sinkhorn(
            ops.reshape(logits, (-1, logits.shape[-1])),
            self.teacher_temperature(),
            self.arguments.sinkhorn_iterations,
            mask=None if mask is None else ops.reshape(mask, (-1,)),
            gather=self.gather,
        )
        return ops.reshape(assignments, ops.shape(logits))
