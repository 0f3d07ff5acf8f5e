"""LeJEPA: views predict the mean of the global views, while embeddings stay an isotropic Gaussian.

"LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics", arXiv 2511.08544, sections 4
and 5. Official code: rbalestr-lab/lejepa, `MINIMAL.md`.

- Views of one size go through the encoder together.
- The mean covers the global views, as in the paper; with `num_global_views` equal to the number of views it
  is the mean of `MINIMAL.md`.
- The characteristic functions are computed over the global batch, with gradients of all replicas, which share
  the directions.
"""

from keras import KerasTensor, Model, ops, random

from kerassl.heads import mlp
from kerassl.losses import characteristic_function, epps_pulley, view_invariance
from kerassl.training import Batch, Common, Outputs, PositiveInt, ProperFraction, Recipe, SSLModel, Unpack


class LeJEPA(SSLModel):
    """LeJEPA (arXiv 2511.08544).

    Args:
        num_views: views of each image that a named preset of two views makes.
        num_global_views: number of first views whose mean is the target of all views.
        regularization_weight: weight of SIGReg, lambda in the paper, in (0, 1); the views' distance has
            weight 1 - lambda. SIGReg grows with the batch.
        num_directions: number of random directions in each step: 1024 in the paper, 256 in `MINIMAL.md`.
        projection_dim: width of the embedding; 16 in `MINIMAL.md`.
        hidden_dim: width of the head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two views, or fewer than `num_global_views`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.LeJEPA(encoder, num_views=4, num_global_views=4)
        >>> model.projector.output_shape
        (None, 16)
    """

    family, default_views = "redundancy", ("simclr_cifar", "simclr_imagenet")
    activation = "relu"
    terms = ("invariance", "sigreg")

    # rbalestr-lab/lejepa.
    recipes = {
        "lejepa": Recipe(
            # For ResNets; the decay for ViTs is 0.05.
            paper={"optimizer": "adamw", "learning_rate": 5e-4, "weight_decay": 5e-4, "warmup_epochs": 10},
            short_arguments={
                "num_views": 4,
                "num_global_views": 4,
                "num_directions": 256,
                "hidden_dim": 512,
                "projection_dim": 64,
            },
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_views: PositiveInt = 2,
        num_global_views: PositiveInt = 2,
        regularization_weight: ProperFraction = 0.05,
        num_directions: PositiveInt = 1024,
        projection_dim: PositiveInt = 16,
        hidden_dim: PositiveInt = 2048,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_views=num_views, **common)
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim, hidden_dim),
            projection_dim,
            activation=self.activation,
            hidden_bias=True,
            output_bias=True,
            name="projector",
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The views' distance from the mean of the global views, and the distance from a Gaussian."""
        if len(views) < max(2, self.arguments.num_global_views):
            raise ValueError(
                f"{type(self).__name__} needs at least two views and its {self.arguments.num_global_views} "
                f"global "
                f"ones; got {len(views)}."
            )
        features = self.encode_views(self.encoder, views, training)
        z = ops.split(self.projector(features, training=training), len(views))
        distance = self.regularization(z, self.directions(training))
        terms = {
            "invariance": (1 - self.arguments.regularization_weight)
            * view_invariance(z, self.arguments.num_global_views),
            self.terms[1]: self.arguments.regularization_weight * distance,
        }
        return Outputs(terms, features=ops.split(features, len(views)))

    def directions(self, training: bool) -> KerasTensor:
        """Random directions `(projection_dim, num_directions)` of this step, the same on all replicas."""
        shape = (self.arguments.projection_dim, self.arguments.num_directions)
        return random.normal(shape, seed=self.clock.seed("directions", training))

    def regularization(self, z: list, directions: KerasTensor) -> KerasTensor:
        """SIGReg of the global batch: its characteristic function is the mean over equal shares."""
        values = self.mean_over_replicas(characteristic_function(z, directions))
        return epps_pulley(values, self.num_replicas * ops.shape(z[0])[0])
