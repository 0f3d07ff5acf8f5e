"""Self-distillation for further pre-training: MAE on new images, regularized toward plain further MAE.

"Self-Distillation for Further Pre-training of Transformers", arXiv 2210.02871, section 3.
Official code: seanie12/self-distillation, `trainer.py`.

1. A masked autoencoder, pre-trained on other images, is further pre-trained on the new images: the teacher.
2. The student restarts from the teacher's initial weights, not from the teacher. It minimizes MAE's loss
   (`kerassl/methods/masked/mae.py`) and the squared distance of its class token to the teacher's, on whole
   images.
3. The student's encoder is fine-tuned.

- The class token is taken after the final norm, regardless of the encoder's `pool`.
- Both of the student's passes are in training mode, as in the official code.
- Images are cropped and flipped, as in MAE; the official code only resizes them, as `views="unaugmented"`
  does.
- The launcher's rate falls along a cosine; the official rate falls linearly.
"""

from typing import Unpack

import keras
from keras import KerasTensor

from kerassl.arguments import PositiveInt
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.losses import feature_distance
from kerassl.methods import MAE
from kerassl.training import Batch, Common, Outputs, Recipe


class OfMAE(Common, total=False):
    """The arguments of `kerassl.methods.MAE`, which documents them."""

    mask_ratio: float
    normalize_target: bool
    decoder_dim: PositiveInt
    decoder_depth: PositiveInt
    decoder_num_heads: PositiveInt


class FurtherPretraining(MAE):
    """Self-distillation for further pre-training (arXiv 2210.02871).

    Args:
        teacher: the `MAE` that was further pre-trained, or its encoder. It is copied and frozen.
        student: the `MAE` that the teacher started from, whose encoder, decoder and decoder settings are
            kept; or an encoder with the token interface of `kerassl.backbones.vit`.
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into the inputs that the
            teacher was trained on, if that differs from the student's views; an `MAE` brings its own.
        **kwargs: the other arguments of `MAE`: `mask_ratio`, `normalize_target`, `decoder_dim`,
            `decoder_depth`, `decoder_num_heads`, `seed`, `name`.

    Raises:
        ValueError: for a teacher without tokens or of another width, and as `MAE`.

    Example:
        >>> import kerassl
        >>> def masked_autoencoder():
        ...     encoder = kerassl.backbones.vit((32, 32, 3), patch_size=8, hidden_dim=24, depth=1)
        ...     return kerassl.methods.MAE(encoder, decoder_dim=32, decoder_depth=1, decoder_num_heads=2)
        >>> model = kerassl.distillation.FurtherPretraining(masked_autoencoder(), masked_autoencoder())
        >>> model.arguments.decoder_depth, model.terms
        (1, ('masked_mse', 'feature_distance'))
    """

    family, terms = "distillation", ("masked_mse", "feature_distance")

    # arXiv 2210.02871; seanie12/self-distillation.
    recipes = {
        "further_pretraining": Recipe(
            # The official batch of 64 has a rate of 1.5e-4.
            paper={
                "optimizer": "adamw",
                "learning_rate": 6e-4,
                "weight_decay": 0.01,
                "warmup_epochs": 0,
                "options": {"beta_2": 0.95},
            },
            short={"learning_rate": 1.5e-3, "weight_decay": 0.01},
            digits_views="mae_digits",
        )
    }

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        teacher_preprocess: keras.layers.Layer | None = None,
        **kwargs: Unpack[OfMAE],
    ) -> None:
        start = student if isinstance(student, MAE) else None
        if start:
            settings = vars(start.arguments)
            decoder = {name: value for name, value in settings.items() if name.startswith("decoder_")}
            kwargs = {**decoder, **kwargs}
        super().__init__(start.encoder if start else student, **kwargs)
        self.teacher = FrozenTeacher(teacher, teacher_preprocess)
        self.teacher.becomes_argument(self.arguments)
        self.arguments.student = self.encoder
        width = self.encoder.hidden_dim
        if not hasattr(self.teacher.network, "encode_tokens") or self.teacher.dim != width:
            raise ValueError(
                f"The teacher gives features of width {self.teacher.dim}; it must be a ViT whose class token "
                f"is as wide as the student's, {width}."
            )
        if start:
            self.decoder.set_weights(start.decoder.get_weights())

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """MAE's loss, and the distance of the class tokens on whole images."""
        outputs = super().loss_terms(views, batch, training)
        images = views[0]
        tokens = tokens_of(self.encoder, images, training)
        said = tokens_of(self.teacher.network, self.teacher.as_it_expects(images, self.views), False)
        terms = {**outputs.terms, "feature_distance": feature_distance(tokens[:, 0], said[:, 0])}
        return Outputs(terms, features=self.encoder.pool_tokens(tokens))


def tokens_of(encoder: keras.Model, images: KerasTensor, training: bool) -> KerasTensor:
    """Tokens `(batch, 1 + num_patches, dim)` of whole images, the class token first."""
    return encoder.encode_tokens(encoder.embed_patches(images), training=training)
