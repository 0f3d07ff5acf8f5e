"""BYOL: predict a slowly moving teacher's embedding of another view, without negatives.

"Bootstrap your own latent", arXiv 2006.07733, equations 1-3.
Official code: google-deepmind/deepmind-research, `byol/byol_experiment.py`.

- The two directions are summed, as in the paper: the loss lies in [0, 8].
- Each view goes through batch norm by itself, in the teacher too, which runs in training mode.
- The teacher starts as a copy of the student; the official code draws it from another random key.
- Running batch-norm statistics are not averaged: the teacher keeps its own.
"""

import keras
from keras import KerasTensor

from kerassl import losses, schedules
from kerassl.heads import mlp
from kerassl.training.model import SSLModel
from kerassl.teachers import make_teacher, update_teacher


@keras.saving.register_keras_serializable("kerassl")
class BYOL(SSLModel):
    """BYOL (arXiv 2006.07733).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`byol_cifar` up to 64 pixels, else `byol`), a recipe's name, a views layer, or
            `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none.
        momentum: of the teacher at the first update, in [0, 1]; it rises to 1 by a half cosine over the
            run. The paper: 0.996 for 1000 epochs, 0.99 for 100 to 300, 0.97 for 40.
        projection_dim: width of the embedding.
        hidden_dim: width of the hidden layer of projector and predictor.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a momentum outside [0, 1].

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.BYOL(encoder, hidden_dim=64, projection_dim=16)
        >>> len(model.teacher_encoder.trainable_variables)
        0
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        momentum: float = 0.996,
        projection_dim: int = 256,
        hidden_dim: int = 4096,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum}; the paper starts at 0.996.")
        super().__init__(
            encoder,
            views=views,
            default_views=("byol_cifar", "byol"),
            terms=("byol",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.momentum = momentum
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(
            self.feature_dim, (hidden_dim,), projection_dim, hidden_bias=True, name="projector"
        )
        self.predictor = mlp(
            projection_dim, (hidden_dim,), projection_dim, hidden_bias=True, name="predictor"
        )
        self.teacher_encoder = make_teacher(self.encoder)
        self.teacher_projector = make_teacher(self.projector)

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Squared distance between normalised predictions and teacher projections, both directions."""

        def student(view: KerasTensor):
            features = self.encode(self.encoder, view, training)
            return self.predictor(self.projector(features, training=training), training=training), features

        def teacher(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return self.teacher_projector(features, training=training)

        (p1, features1), (p2, features2) = student(views[0]), student(views[1])
        z1, z2 = teacher(views[0]), teacher(views[1])
        loss = losses.byol(p1, self.target(z2)) + losses.byol(p2, self.target(z1))
        return {"byol": loss}, {"features": (features1, features2), "targets": z1}

    def target(self, z: KerasTensor) -> KerasTensor:
        """What the other view's prediction is compared with: the teacher's projection itself."""
        return z

    def after_update(self, aux: dict) -> None:
        """Moves the teacher."""
        momentum = schedules.cosine(self.momentum, 1.0, self.updates, self.total_updates)
        update_teacher(self.teacher_encoder, self.encoder, momentum)
        update_teacher(self.teacher_projector, self.projector, momentum)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
