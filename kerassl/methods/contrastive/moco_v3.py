"""MoCo v3: find the teacher's key of the other view among the keys of the batch; designed for ViTs.

"An Empirical Study of Training Self-Supervised Vision Transformers", arXiv 2104.02057, equation 1 and
algorithm 1. Official code: facebookresearch/moco-v3, `moco/builder.py`, `vits.py`, `main_moco.py`.

- Each direction is multiplied by `2 * temperature`, as in the official code, so that gradients do not grow
  with its inverse.
- The teacher moves after the optimizer; the official code moves it before the next forward pass, which is
  equivalent.
- A ViT's patch embedding keeps its random initialization (section 4.2); its position embeddings are fixed
  sinusoids, the default of `kerassl.backbones.vit`.
"""

from keras import KerasTensor, Model, ops

from kerassl.arguments import Fraction, PositiveFloat, PositiveInt
from kerassl.heads import mlp
from kerassl.losses import info_nce
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class MoCoV3(SSLModel):
    """MoCo v3 (arXiv 2104.02057).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`; a `kerassl.backbones.ViT` gets
            the heads of the paper's ViTs, any other network the heads of its ResNet.
        temperature: divides the cosines; > 0. The paper: 0.2 for ViTs, 1.0 for ResNet-50.
        momentum: teacher momentum at the first update, in [0, 1]; it rises to 1 by a half cosine over the
            run. The paper: 0.99, and 0.996 for 1000 epochs.
        projection_dim: width of queries and keys.
        hidden_dim: width of the hidden layers of projector and predictor.
        freeze_patch_embedding: whether a ViT's patch embedding stays untrained, which stabilizes ViTs in the
            paper; no effect on other networks. It also stays frozen in the encoder that you passed: set
            `encoder.patch_embedding.trainable = True` before fine-tuning.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=8, depth=1)
        >>> model = kerassl.methods.MoCoV3(encoder, hidden_dim=64, projection_dim=16)
        >>> model.encoder.patch_embedding.trainable
        False
    """

    family, terms, default_views = "contrastive", ("moco_v3",), ("byol_cifar", "byol")

    # arXiv 2104.02057 section 4.
    recipes = {
        "moco_v3": Recipe(
            paper={
                "optimizer": "adamw",
                "learning_rate": 1.5e-4,
                "weight_decay": 0.1,
                "warmup_epochs": 40,
                "options": {"decay_bias_and_norm": True},
            },
            short={"learning_rate": 1e-3, "weight_decay": 0.05},
            short_arguments={"hidden_dim": 512, "projection_dim": 128},
            backbone="vit_tiny",
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        temperature: PositiveFloat = 0.2,
        momentum: Fraction = 0.99,
        projection_dim: PositiveInt = 256,
        hidden_dim: PositiveInt = 4096,
        freeze_patch_embedding: bool = True,
        **common: Unpack[Common],
    ) -> None:
        is_vit = hasattr(encoder, "patch_embedding")
        if is_vit and freeze_patch_embedding:
            encoder.patch_embedding.trainable = False
        super().__init__(encoder, **common)
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim,) * (2 if is_vit else 1),
            projection_dim,
            output_batch_norm="plain",
            name="projector",
        )
        self.predictor = mlp(
            projection_dim,
            (hidden_dim,),
            projection_dim,
            output_batch_norm="plain" if is_vit else None,
            name="predictor",
        )
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """InfoNCE of each view's prediction with the other view's keys of the global batch."""

        def query(view: KerasTensor):
            features = self.encode(self.encoder, view, training)
            return self.predictor(self.projector(features, training=training), training=training), features

        def key(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return ops.stop_gradient(self.teacher_projector(features, training=training))

        def contrast(q: KerasTensor, k: KerasTensor):
            loss = info_nce(q, k, temperature=self.arguments.temperature, candidates=self.gather(k))
            return 2 * self.arguments.temperature * loss

        (q1, features1), (q2, features2) = query(views[0]), query(views[1])
        loss = contrast(q1, key(views[1])) + contrast(q2, key(views[0]))
        return Outputs({"moco_v3": loss}, features=(features1, features2))

    def teacher_momentum(self) -> KerasTensor:
        """Rises to 1 by a half cosine over the run."""
        return self.clock.cosine(self.arguments.momentum, 1.0)
