"""MSBReg: embeddings as particles that are pulled to their centroid, spread evenly and shaken at random.

"An Embedding-Dynamic Approach to Self-supervised Learning", arXiv 2207.03552. The authors' code is not
public, and neither the formula of the singular value loss nor the weights were to be had: what follows is the
paper's text, where it leaves a choice ours.

- Multiview centroid loss: BYOL's distance of the prediction of each of an image's views from the centroid of
  the teacher's projections of its other views, as unit vectors; with two views BYOL's own loss, halved.
- Singular value loss: `kerassl.losses.singular_value_dispersion` of each view's predictions.
- Brownian diffusive loss: the mean cosine of the predictions with a random direction, drawn anew for each
  image in each step and shared by its views. Its expectation is 0, and so is that of its gradient.
- Each view goes through batch norm by itself, in the teacher too, which runs in training mode.
- The singular values are those of the global batch, with gradients of all replicas.
"""

import keras
from keras import KerasTensor, ops

from kerassl import losses, schedules
from kerassl.heads import mlp
from kerassl.training.model import SSLModel
from kerassl.teachers import make_teacher, update_teacher


@keras.saving.register_keras_serializable("kerassl")
class MSBReg(SSLModel):
    """MSBReg (arXiv 2207.03552).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`byol_cifar` up to 64 pixels, else `byol`), a recipe's name, a views layer, or
            `None` for data that holds at least two views.
        num_classes: number of classes for the online probe; `None` for none.
        num_views: views of each image that a named recipe makes.
        singular_value_weight: weight of the singular value loss; >= 0.
        brownian_weight: weight of the Brownian diffusive loss; >= 0.
        momentum: of the teacher at the first update, in [0, 1]; it rises to 1 by a half cosine over the run.
        projection_dim: width of the embedding.
        hidden_dim: width of the hidden layer of projector and predictor.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than two views, a negative weight or a momentum outside [0, 1].

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.MSBReg(encoder, num_views=4, hidden_dim=64, projection_dim=16)
        >>> model.views.num_views
        4
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_views: int = 2,
        singular_value_weight: float = 0.2,
        brownian_weight: float = 0.1,
        momentum: float = 0.996,
        projection_dim: int = 256,
        hidden_dim: int = 4096,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if singular_value_weight < 0 or brownian_weight < 0:
            raise ValueError(
                f"The weights must be >= 0, got singular_value_weight={singular_value_weight} and "
                f"brownian_weight={brownian_weight}."
            )
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum}; BYOL starts at 0.996.")
        super().__init__(
            encoder,
            views=views,
            default_views=("byol_cifar", "byol"),
            num_views=num_views,
            terms=("centroid", "singular_values", "brownian"),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_views = num_views
        self.singular_value_weight = singular_value_weight
        self.brownian_weight = brownian_weight
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
        """The attraction to the teacher's centroid, the spread of the spectrum, and the random push."""
        if len(views) < 2:
            raise ValueError(f"MSBReg averages views of an image, so it needs two; got {len(views)}.")

        def teacher(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return self.teacher_projector(features, training=training)

        features = [self.encode(self.encoder, view, training) for view in views]
        p = [self.predictor(self.projector(f, training=training), training=training) for f in features]
        attraction = losses.centroid_attraction(p, [teacher(view) for view in views])
        everyone = [self.gather(view) for view in p]
        directions = keras.random.normal(
            (ops.shape(everyone[0])[0], self.projection_dim), seed=self.step_seed("brownian", training)
        )
        push = sum(losses.negative_cosine(view, directions) for view in everyone) / len(views)
        terms = {
            "centroid": attraction,
            "singular_values": self.singular_value_weight * losses.singular_value_dispersion(everyone),
            "brownian": self.brownian_weight * push,
        }
        return terms, {"features": features}

    def after_update(self, aux: dict) -> None:
        """Moves the teacher."""
        momentum = schedules.cosine(self.momentum, 1.0, self.updates, self.total_updates)
        update_teacher(self.teacher_encoder, self.encoder, momentum)
        update_teacher(self.teacher_projector, self.projector, momentum)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_views": self.num_views,
            "singular_value_weight": self.singular_value_weight,
            "brownian_weight": self.brownian_weight,
            "momentum": self.momentum,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
