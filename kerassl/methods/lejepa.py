"""LeJEPA: views predict the mean of the global ones, while embeddings are kept an isotropic Gaussian.

"LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics", arXiv 2511.08544, sections 4
and 5. Official code: rbalestr-lab/lejepa, `MINIMAL.md`.

- Views of one size go through the encoder together.
- The mean is that of the global views, as in the paper; `num_global_views` as large as the number of views
  gives that of `MINIMAL.md`.
- The characteristic functions are those of the global batch, with gradients of all replicas, whose directions
  are the same.
"""

import keras
from keras import KerasTensor, ops

from kerassl.heads import mlp
from kerassl.losses import characteristic_function, epps_pulley, view_invariance
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class LeJEPA(SSLModel):
    """LeJEPA (arXiv 2511.08544).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`simclr_cifar` up to 64 pixels, else `simclr_imagenet`), a recipe's name, a views
            layer, or `None` for data that holds at least two views. The paper's crops of two sizes are the
            recipe `lejepa`, for an encoder that takes both.
        num_classes: number of classes for the online probe; `None` for none.
        num_views: views of each image that a named recipe of two makes.
        num_global_views: how many of the views, the first ones, make the mean that all predict.
        regularization_weight: weight of SIGReg, lambda in the paper, in (0, 1); that of the views' distance
            is 1 - lambda. SIGReg grows with the batch.
        num_directions: random directions in each step: 1024 in the paper, 256 in `MINIMAL.md`.
        projection_dim: width of the embedding; 16 in `MINIMAL.md`.
        hidden_dim: width of the head's two hidden layers.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a weight outside (0, 1), fewer than two views, no global view, or no direction.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.LeJEPA(encoder, num_views=4, num_global_views=4)
        >>> model.projector.output_shape
        (None, 16)
    """

    activation = "relu"
    term = "sigreg"

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_views: int = 2,
        num_global_views: int = 2,
        regularization_weight: float = 0.05,
        num_directions: int = 1024,
        projection_dim: int = 16,
        hidden_dim: int = 2048,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if not 0 < regularization_weight < 1:
            raise ValueError(
                f"regularization_weight must lie in (0, 1), got {regularization_weight}: the distance of the "
                "views weighs the rest."
            )
        if num_global_views < 1:
            raise ValueError(f"num_global_views must be at least 1, got {num_global_views}.")
        if num_directions < 1:
            raise ValueError(f"num_directions must be at least 1, got {num_directions}.")
        super().__init__(
            encoder,
            views=views,
            default_views=("simclr_cifar", "simclr_imagenet"),
            num_views=num_views,
            terms=("invariance", self.term),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_views = num_views
        self.num_global_views = num_global_views
        self.regularization_weight = regularization_weight
        self.num_directions = num_directions
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim, hidden_dim),
            projection_dim,
            activation=self.activation,
            hidden_bias=True,
            output_bias=True,
            name="projector",
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """The views' distance from the mean of the global ones, and the distance from a Gaussian."""
        if len(views) < max(2, self.num_global_views):
            raise ValueError(
                f"{type(self).__name__} needs at least two views and its {self.num_global_views} global "
                f"ones; got {len(views)}."
            )
        features = self.encode_views(self.encoder, views, training)
        z = ops.split(self.projector(features, training=training), len(views))
        distance = self.regularization(z, self.directions(training))
        terms = {
            "invariance": (1 - self.regularization_weight) * view_invariance(z, self.num_global_views),
            self.term: self.regularization_weight * distance,
        }
        return terms, {"features": ops.split(features, len(views))}

    def directions(self, training: bool) -> KerasTensor:
        """Random directions `(projection_dim, num_directions)` of this step, the same on all replicas."""
        shape = (self.projection_dim, self.num_directions)
        return keras.random.normal(shape, seed=self.step_seed("directions", training))

    def regularization(self, z: list, directions: KerasTensor) -> KerasTensor:
        """SIGReg of the global batch: equal shares' characteristic functions have its own as their mean."""
        values = self.mean_over_replicas(characteristic_function(z, directions))
        return epps_pulley(values, self.num_replicas * ops.shape(z[0])[0])

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_views": self.num_views,
            "num_global_views": self.num_global_views,
            "regularization_weight": self.regularization_weight,
            "num_directions": self.num_directions,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
