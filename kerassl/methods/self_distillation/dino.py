"""DINO: a student matches its teacher's sharpened, centered prototype assignments across crops.

"Emerging Properties in Self-Supervised Vision Transformers", arXiv 2104.14294, equations 1-4.
Official code: facebookresearch/dino, `main_dino.py`, `utils.py`, `vision_transformer.py`.

- Crops of one size go through the encoder together, as in the official MultiCropWrapper.
- The center used in a step comes from the previous steps; it is updated after the optimizer.
- The prototypes receive no gradient during the first epoch.
- The embedding is the teacher's, which the paper evaluates.
- `num_heads` heads are a weighted ensemble (arXiv 2211.09981), whose teachers are centered head by head; that
  paper balances them by Sinkhorn-Knopp.
"""

from keras import Model, ops

from kerassl import losses
from kerassl.heads import EnsembleHead
from kerassl.losses.clustering.weighted_ensemble import Weighting
from kerassl.methods.self_distillation.prototype_teacher import PrototypeTeacher
from kerassl.metrics import assigned_prototypes
from kerassl.training import Batch, NonNegativeFloat, Outputs, PositiveFloat, PositiveInt, Recipe

DINO_PAPER = {
    "optimizer": "adamw",
    "learning_rate": 5e-4,
    "weight_decay": 0.04,
    "final_weight_decay": 0.4,
    "warmup_epochs": 10,
    "options": {"clipnorm": 3.0},
}
SHORT_VIT = {"learning_rate": 1e-3, "weight_decay": 0.04, "final_weight_decay": 0.4}
SHORT_DINO = {"momentum": 0.99, "num_prototypes": 1024, "hidden_dim": 512, "bottleneck_dim": 128}


class DINO(PrototypeTeacher):
    """DINO (arXiv 2104.14294).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)` that accepts the sizes of all
            crops, for example `kerassl.backbones.vit`.
        num_prototypes: number of prototypes K, the width of a head's output.
        student_temperature: divides the student's logits; > 0.
        teacher_temperature: divides the centered teacher logits; > 0. Training becomes unstable above 0.07.
        warmup_teacher_temperature: teacher temperature at the start, rising linearly to
            `teacher_temperature`; the paper's default holds 0.04 throughout.
        warmup_teacher_temperature_epochs: number of epochs of that rise.
        momentum: teacher momentum at the first update, in [0, 1]; it rises to 1 by a half cosine over the
            run. The paper: 0.996; 0.9995 for batches of 256.
        center_momentum: EMA momentum of the center, in [0, 1].
        freeze_last_layer_epochs: number of first epochs with frozen prototypes.
        num_global_crops: number of global views; the teacher sees only these.
        hidden_dim: width of the head's hidden layers.
        bottleneck_dim: width of the embedding that is compared with the prototypes.
        use_batch_norm_in_head: whether the head's hidden layers are batch-normalized (for ResNets).
        num_heads: number of heads of the ensemble, each with its own prototypes; 1 is plain DINO.
        ensemble_weighting: weighting of the heads' losses: "uniform", "probability" or "entropy"; see
            `kerassl.losses.weighted_ensemble`.
        ensemble_temperature: temperature of the entropy weights, gamma in arXiv 2211.09981; > 0.
        ensemble_warmup_epochs: number of epochs over which that temperature falls from 0.5 to
            `ensemble_temperature`.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two views.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=4, depth=2)
        >>> model = kerassl.methods.DINO(encoder, num_prototypes=128, hidden_dim=64)
        >>> tuple(model.center.shape)
        (128,)
    """

    family, terms, default_views = "self_distillation", ("dino",), ("dino_cifar", "dino")

    # arXiv 2104.14294 section 3.2; facebookresearch/dino.
    recipes = {
        "dino": Recipe(paper=DINO_PAPER, short=SHORT_VIT, short_arguments=SHORT_DINO, backbone="vit_tiny")
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_heads: PositiveInt = 1,
        ensemble_weighting: Weighting = "uniform",
        ensemble_temperature: PositiveFloat = 0.05,
        ensemble_warmup_epochs: NonNegativeFloat = 30,
        **teacher,
    ) -> None:
        super().__init__(encoder, **teacher)

    @property
    def counted_prototypes(self) -> int:
        """Number of prototypes in the usage metric: those of all heads."""
        return self.arguments.num_heads * self.arguments.num_prototypes

    def make_head(self, name: str) -> Model:
        """A head, or the heads of an ensemble."""
        num_heads = self.arguments.num_heads
        if num_heads == 1:
            return super().make_head(name)
        return EnsembleHead(self.feature_dim, num_heads=num_heads, name=name, **self.head_options())

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy of the student's crops with the teacher's other global crops."""
        given = self.arguments
        if len(views) < 2:
            raise ValueError(f"DINO compares crops of one image and needs at least two, got {len(views)}.")
        features = self.encode_views(self.encoder, views, training)
        rows = ops.shape(features)[0] // len(views)
        student_logits = self.student_logits(self.head, features, training)
        heads = given.num_heads, given.num_prototypes
        student_logits = ops.reshape(student_logits, (len(views), rows, *heads))

        global_crops = views[: self.arguments.num_global_crops]
        teacher_features = self.encode_views(self.teacher_encoder, global_crops, training)
        teacher_logits = self.teacher_logits(self.teacher_head, teacher_features, training)
        probabilities = self.teacher_probabilities(teacher_logits, self.center)
        probabilities = ops.reshape(probabilities, (self.arguments.num_global_crops, rows, *heads))

        loss = losses.weighted_ensemble(
            losses.dino,
            student_logits,
            probabilities,
            given.student_temperature,
            given.ensemble_weighting,
            self.clock.ramp(0.5, given.ensemble_temperature, given.ensemble_warmup_epochs),
        )
        return Outputs(
            {"dino": loss},
            features=ops.split(features, len(views)),
            embedding=teacher_features[:rows],
            assignments=assigned_prototypes(probabilities[0]),
            state={"teacher_logits": teacher_logits},
        )
