"""EMP-SSL: many small patches of an image agree, and a batch of them spans much volume.

"EMP-SSL: Towards Self-Supervised Learning in One Training Epoch", arXiv 2304.03977, equations 3 and 4.
Official code: tsb0601/EMP-SSL, `main.py`, `loss.py`.

- All patches go through the encoder together, as in the official code.
- The coding rate is that of the global batch; the official code takes that of each device's share.
- The first of the head's hidden layers is a part of the official network, whose features are its output. Here
  they are the encoder's.
- The paper evaluates the mean feature of many patches of an image; here it is that of the whole image.
"""

import keras
from keras import KerasTensor, ops

from kerassl.heads import mlp
from kerassl.losses import emp_ssl
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class EMPSSL(SSLModel):
    """EMP-SSL (arXiv 2304.03977).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`emp_ssl`), a recipe's name, a views layer, or `None` for data that holds at
            least two patches of each image.
        num_classes: number of classes for the online probe; `None` for none.
        num_patches: patches of each image that a named recipe makes; 20 or 200 in the paper.
        invariance_weight: weight of the agreement of the patches, lambda in the paper; > 0.
        distortion: epsilon in the coding rate; > 0.
        projection_dim: width of the embedding.
        hidden_dim: width of the head's two hidden layers.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for fewer than two patches, a weight or distortion <= 0.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.EMPSSL(encoder, hidden_dim=64, projection_dim=32)
        >>> model.views.num_views
        20
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_patches: int = 20,
        invariance_weight: float = 200.0,
        distortion: float = 0.2,
        projection_dim: int = 1024,
        hidden_dim: int = 4096,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if num_patches < 2:
            raise ValueError(f"num_patches must be at least 2, got {num_patches}; the paper uses 20.")
        if invariance_weight <= 0:
            raise ValueError(f"invariance_weight must be > 0, got {invariance_weight}; the paper uses 200.")
        if distortion <= 0:
            raise ValueError(f"distortion must be > 0, got {distortion}; the paper uses 0.2.")
        super().__init__(
            encoder,
            views=views,
            default_views=("emp_ssl", "emp_ssl"),
            num_views=num_patches,
            terms=("emp_ssl",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_patches = num_patches
        self.invariance_weight = invariance_weight
        self.distortion = distortion
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(self.feature_dim, (hidden_dim, hidden_dim), projection_dim, name="projector")

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Disagreement of the patches of an image, less the coding rate of a batch of patches."""
        if len(views) < 2:
            raise ValueError(f"EMP-SSL compares patches of an image; it needs two, got {len(views)}.")
        features = self.encode(self.encoder, ops.concatenate(views), training)
        patches = ops.split(self.projector(features, training=training), len(views))
        loss = emp_ssl([self.gather(z) for z in patches], self.invariance_weight, self.distortion)
        return {"emp_ssl": loss}, {"features": ops.split(features, len(views))}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_patches": self.num_patches,
            "invariance_weight": self.invariance_weight,
            "distortion": self.distortion,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
