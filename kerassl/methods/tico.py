"""TiCo: agree with a slowly moving teacher, and keep away from where embeddings have lately lain.

"TiCo: Transformation Invariance and Covariance Contrast for Self-Supervised Visual Representation Learning",
arXiv 2206.10698, section 3. The authors' code is not public; details as in lightly-ai/lightly,
`lightly/loss/tico_loss.py`.

- The two directions are averaged, and both views of a batch enter the moving covariance, once; lightly's loss
  is that of one direction.
- The covariance starts at zero and holds the batch before the loss is taken.
- Each view goes through batch norm by itself, in the teacher too, which runs in training mode.
"""

import keras
from keras import KerasTensor, ops

from kerassl import losses, schedules
from kerassl.heads import mlp
from kerassl.training.model import SSLModel
from kerassl.teachers import make_teacher, update_teacher


@keras.saving.register_keras_serializable("kerassl")
class TiCo(SSLModel):
    """TiCo (arXiv 2206.10698).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`byol_cifar` up to 64 pixels, else `byol`), a recipe's name, a views layer, or
            `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none.
        covariance_weight: weight of the covariance contrast, rho in the paper; > 0.
        covariance_decay: of the moving covariance, beta in the paper; in [0, 1).
        momentum: of the teacher at the first update, in [0, 1]; it rises to 1 by a half cosine over the run.
        projection_dim: width of the embedding.
        hidden_dim: width of the projector's hidden layer.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Attributes:
        covariance: variable `(projection_dim, projection_dim)`, the moving second moment of the embeddings.

    Raises:
        ValueError: for a weight <= 0, a decay outside [0, 1) or a momentum outside [0, 1].

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.TiCo(encoder, hidden_dim=64, projection_dim=16)
        >>> tuple(model.covariance.shape)
        (16, 16)
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        covariance_weight: float = 8.0,
        covariance_decay: float = 0.9,
        momentum: float = 0.996,
        projection_dim: int = 256,
        hidden_dim: int = 4096,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if covariance_weight <= 0:
            raise ValueError(f"covariance_weight must be > 0, got {covariance_weight}; the paper uses 8.")
        if not 0 <= covariance_decay < 1:
            raise ValueError(
                f"covariance_decay must lie in [0, 1), got {covariance_decay}; the paper uses 0.9."
            )
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum}; the paper starts at 0.996.")
        super().__init__(
            encoder,
            views=views,
            default_views=("byol_cifar", "byol"),
            terms=("tico",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.covariance_weight = covariance_weight
        self.covariance_decay = covariance_decay
        self.momentum = momentum
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(
            self.feature_dim, (hidden_dim,), projection_dim, hidden_bias=True, name="projector"
        )
        self.teacher_encoder = make_teacher(self.encoder)
        self.teacher_projector = make_teacher(self.projector)
        self.covariance = self.add_weight(
            name="covariance",
            shape=(projection_dim, projection_dim),
            initializer="zeros",
            trainable=False,
            dtype="float32",
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Both directions, with the covariance that this batch has been added to."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)

        def teacher(view: KerasTensor):
            return self.teacher_projector(
                self.encode(self.teacher_encoder, view, training), training=training
            )

        target1, target2 = teacher(views[0]), teacher(views[1])
        both = ops.concatenate([self.gather(ops.stop_gradient(z)) for z in (z1, z2)])
        covariance = losses.tico_covariance(both, self.covariance, self.covariance_decay)
        loss = losses.tico(z1, target2, covariance, self.covariance_weight) + losses.tico(
            z2, target1, covariance, self.covariance_weight
        )
        return {"tico": loss / 2}, {"features": features, "covariance": covariance}

    def after_update(self, aux: dict) -> None:
        """Moves the covariance and the teacher."""
        self.covariance.assign(aux["covariance"])
        momentum = schedules.cosine(self.momentum, 1.0, self.updates, self.total_updates)
        update_teacher(self.teacher_encoder, self.encoder, momentum)
        update_teacher(self.teacher_projector, self.projector, momentum)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "covariance_weight": self.covariance_weight,
            "covariance_decay": self.covariance_decay,
            "momentum": self.momentum,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
