"""EMP-SSL: many small patches of an image agree, and a batch of patches spans a large volume.

"EMP-SSL: Towards Self-Supervised Learning in One Training Epoch", arXiv 2304.03977, equations 3 and 4.
Official code: tsb0601/EMP-SSL, `main.py`, `loss.py`.

- All patches go through the encoder together, as in the official code.
- The coding rate is computed over the global batch; the official code computes it per device.
- The official network includes the head's first hidden layer, and its features are the output of that layer.
  This class takes the encoder's features.
- The paper evaluates the mean feature of many patches of an image; this class uses the feature of the whole
  image.
"""

from keras import Model, ops

from kerassl.arguments import Annotated, Bound, PositiveFloat, PositiveInt
from kerassl.heads import mlp
from kerassl.losses import emp_ssl
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class EMPSSL(SSLModel):
    """EMP-SSL (arXiv 2304.03977).

    Args:
        num_patches: patches of each image that a named preset makes; 20 or 200 in the paper.
        invariance_weight: weight of the agreement of the patches, lambda in the paper; > 0.
        distortion: allowed distortion epsilon of the coding rate; > 0.
        projection_dim: width of the embedding.
        hidden_dim: width of the head's two hidden layers.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for fewer than two patches.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.EMPSSL(encoder, hidden_dim=64, projection_dim=32)
        >>> model.views.num_views
        20
    """

    family, terms, default_views = "redundancy", ("emp_ssl",), ("emp_ssl", "emp_ssl")

    # tsb0601/EMP-SSL.
    recipes = {
        "emp_ssl": Recipe(
            # The official batch of 100 has a rate of 0.3.
            paper={
                "optimizer": "lars",
                "learning_rate": 0.77,
                "weight_decay": 1e-4,
                "warmup_epochs": 0,
                "options": {"trust_coefficient": 0.005, "clip": True},
            },
            short_arguments={"num_patches": 6, "hidden_dim": 512, "projection_dim": 256},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_patches: Annotated[int, Bound(2)] = 20,
        invariance_weight: PositiveFloat = 200.0,
        distortion: PositiveFloat = 0.2,
        projection_dim: PositiveInt = 1024,
        hidden_dim: PositiveInt = 4096,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, num_views=num_patches, **common)
        self.projector = mlp(self.feature_dim, (hidden_dim, hidden_dim), projection_dim, name="projector")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Disagreement of the patches of an image, minus the coding rate of a batch of patches."""
        if len(views) < 2:
            raise ValueError(f"EMP-SSL compares patches of an image; it needs two, got {len(views)}.")
        features = self.encode_views(self.encoder, views, training)
        patches = ops.split(self.projector(features, training=training), len(views))
        loss = emp_ssl(
            [self.gather(z) for z in patches], self.arguments.invariance_weight, self.arguments.distortion
        )
        return Outputs({"emp_ssl": loss}, features=ops.split(features, len(views)))
