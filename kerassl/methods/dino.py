"""DINO: a student matches its teacher's sharpened, centred prototype assignments across crops.

"Emerging Properties in Self-Supervised Vision Transformers", arXiv 2104.14294, equations 1-4.
Official code: facebookresearch/dino, `main_dino.py`, `utils.py`, `vision_transformer.py`.

- Crops of one size go through the encoder together, as in the official MultiCropWrapper.
- The centre used in a step is that of the steps before; it moves after the optimizer.
- The prototypes receive no gradient during the first epoch.
- The embedding is the teacher's, which the paper evaluates.
- `num_heads` heads are a weighted ensemble (arXiv 2211.09981), whose teachers are centred here, head by head;
  there they are balanced by Sinkhorn-Knopp.
"""

import keras
from keras import KerasTensor, ops

from kerassl import losses
from kerassl.evaluation import assigned_prototypes
from kerassl.heads import EnsembleHead
from kerassl.losses.weighted_ensemble import check_ensemble
from kerassl.methods.prototype_teacher import PrototypeTeacher


@keras.saving.register_keras_serializable("kerassl")
class DINO(PrototypeTeacher):
    """DINO (arXiv 2104.14294).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)` that accepts the sizes of
            all crops, such as `kerassl.backbones.vit`.
        views: `"default"` (`dino_cifar` up to 64 pixels, else `dino`), a recipe's name, a
            `kerassl.views.MultiCrop`, or `None` for data that holds the crops, global ones first.
        num_classes: number of classes for the online probe; `None` for none.
        num_prototypes: width K of a head's output.
        student_temperature: divides the student's logits; > 0.
        teacher_temperature: divides the centred teacher logits; > 0. Above 0.07 training becomes unstable.
        warmup_teacher_temperature: teacher temperature at the start, rising linearly to
            `teacher_temperature`; the paper's default holds 0.04 throughout.
        warmup_teacher_temperature_epochs: epochs of that rise.
        momentum: of the teacher at the first update, in [0, 1]; it rises to 1 by a half cosine over the
            run. The paper: 0.996; 0.9995 for batches of 256.
        center_momentum: of the centre, in [0, 1].
        freeze_last_layer_epochs: epochs in which the prototypes do not move.
        num_global_crops: how many of the views are global ones; the teacher sees only these.
        hidden_dim: width of the head's hidden layers.
        bottleneck_dim: width of the embedding that meets the prototypes.
        use_batch_norm_in_head: whether the head's hidden layers are batch-normalised (for ResNets).
        num_heads: heads of the ensemble, each with prototypes of its own; 1 is plain DINO.
        ensemble_weighting: how the heads' losses are weighed: "uniform", "probability" or "entropy"; see
            `kerassl.losses.weighted_ensemble`.
        ensemble_temperature: of the weights by entropy, gamma in arXiv 2211.09981; > 0.
        ensemble_warmup_epochs: epochs over which that temperature falls there from 0.5.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0, a momentum outside [0, 1], fewer than two crops, no head, or an
            unknown weighting.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=4, depth=2)
        >>> model = kerassl.methods.DINO(encoder, num_prototypes=128, hidden_dim=64)
        >>> tuple(model.center.shape)
        (128,)
    """

    term_names = ("dino",)

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_prototypes: int = 65536,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        warmup_teacher_temperature: float = 0.04,
        warmup_teacher_temperature_epochs: int = 0,
        momentum: float = 0.996,
        center_momentum: float = 0.9,
        freeze_last_layer_epochs: int = 1,
        num_global_crops: int = 2,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        use_batch_norm_in_head: bool = False,
        num_heads: int = 1,
        ensemble_weighting: str = "uniform",
        ensemble_temperature: float = 0.05,
        ensemble_warmup_epochs: int = 30,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        check_ensemble(num_heads, ensemble_weighting, ensemble_temperature)
        super().__init__(
            encoder,
            views,
            num_classes,
            default_views=("dino_cifar", "dino"),
            shown_prototypes=num_heads * num_prototypes,
            own_options={
                "num_heads": num_heads,
                "ensemble_weighting": ensemble_weighting,
                "ensemble_temperature": ensemble_temperature,
                "ensemble_warmup_epochs": ensemble_warmup_epochs,
            },
            num_prototypes=num_prototypes,
            student_temperature=student_temperature,
            teacher_temperature=teacher_temperature,
            warmup_teacher_temperature=warmup_teacher_temperature,
            warmup_teacher_temperature_epochs=warmup_teacher_temperature_epochs,
            momentum=momentum,
            center_momentum=center_momentum,
            freeze_last_layer_epochs=freeze_last_layer_epochs,
            num_global_crops=num_global_crops,
            hidden_dim=hidden_dim,
            bottleneck_dim=bottleneck_dim,
            use_batch_norm_in_head=use_batch_norm_in_head,
            seed=seed,
            name=name,
        )

    def make_head(self, name: str) -> keras.Model:
        """A head, or the heads of an ensemble."""
        num_heads = self.options["num_heads"]
        if num_heads == 1:
            return super().make_head(name)
        return EnsembleHead(self.feature_dim, num_heads=num_heads, name=name, **self.head_options())

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Cross entropy of the student's crops with the teacher's global crops, same crop left out."""
        options = self.options
        if len(views) < 2:
            raise ValueError(
                f"DINO compares crops of one image, so it needs at least two views; got {len(views)}."
            )
        batch = ops.shape(views[0])[0]
        features = self.encode_views(self.encoder, views, training)
        student_logits = self.student_logits(self.head, features, training)
        heads = options["num_heads"], options["num_prototypes"]
        student_logits = ops.reshape(student_logits, (len(views), batch, *heads))

        global_crops = ops.concatenate(views[: self.num_global_crops])
        teacher_features = self.encode(self.teacher_encoder, global_crops, training)
        teacher_logits = self.teacher_logits(self.teacher_head, teacher_features, training)
        probabilities = self.teacher_probabilities(teacher_logits, self.center)
        probabilities = ops.reshape(probabilities, (self.num_global_crops, batch, *heads))

        loss = losses.weighted_ensemble(
            losses.dino,
            student_logits,
            probabilities,
            options["student_temperature"],
            options["ensemble_weighting"],
            self.over_first_epochs(0.5, options["ensemble_temperature"], options["ensemble_warmup_epochs"]),
        )
        return {"dino": loss}, {
            "features": ops.split(features, len(views)),
            "embedding": teacher_features[:batch],
            "teacher_logits": teacher_logits,
            "assignments": assigned_prototypes(probabilities[0]),
        }
