"""SimSiam: predict the other view's detached embedding, without negatives or a teacher.

"Exploring Simple Siamese Representation Learning", arXiv 2011.10566, equations 1 to 4.
Official code: facebookresearch/simsiam, `simsiam/builder.py`, `main_simsiam.py`.

- Each view goes through batch norm separately.
- The projector's last Dense has no bias: the official one is frozen, and batch norm cancels it.
- The official training keeps the predictor's learning rate constant while the other rates fall: the launcher
  does so under SGD through the optimizer's `constant_rates`.
"""

from keras import KerasTensor, Model

from kerassl.heads import mlp
from kerassl.losses import negative_cosine
from kerassl.training import Batch, Common, Outputs, PositiveInt, Recipe, SSLModel, Unpack

SIMSIAM_PAPER = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 1e-4, "warmup_epochs": 0}


class SimSiam(SSLModel):
    """SimSiam (arXiv 2011.10566).

    Args:
        projection_dim: width of the embedding.
        projection_layers: Dense layers of the projector, all but the last as wide as the features: 3 on
            ImageNet, 2 on CIFAR.
        prediction_hidden_dim: width of the predictor's hidden layer, a quarter of `projection_dim` in the
            paper.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.SimSiam(encoder, projection_dim=64, prediction_hidden_dim=16)
        >>> model.predictor.output_shape
        (None, 64)
    """

    family, terms = "asymmetric", ("negative_cosine",)

    default_views = ("supcon_cifar", "moco_v2")
    # arXiv 2011.10566 section 3.
    recipes = {
        "simsiam": Recipe(
            paper=SIMSIAM_PAPER,
            constant_rate="predictor",
            short_arguments={"projection_dim": 512, "prediction_hidden_dim": 128},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        projection_dim: PositiveInt = 2048,
        projection_layers: PositiveInt = 3,
        prediction_hidden_dim: PositiveInt = 512,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = mlp(
            self.feature_dim,
            (self.feature_dim,) * (projection_layers - 1),
            projection_dim,
            output_batch_norm="plain",
            name="projector",
        )
        self.predictor = mlp(
            projection_dim, (prediction_hidden_dim,), projection_dim, output_bias=True, name="predictor"
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Negative cosine of each prediction with the other view's detached target, averaged."""
        features = [self.encode(self.encoder, view, training) for view in views]
        z1, z2 = (self.projector(f, training=training) for f in features)
        p1, p2 = (self.predictor(z, training=training) for z in (z1, z2))
        loss = (negative_cosine(p1, self.target(z2)) + negative_cosine(p2, self.target(z1))) / 2
        return Outputs({"negative_cosine": loss}, features=features, state={"targets": z1})

    def target(self, z: KerasTensor) -> KerasTensor:
        """The target of the other view's prediction: the projection."""
        return z
