"""DirectCLR: contrast the first coordinates of the representation itself, without a head.

"Understanding Dimensional Collapse in Contrastive Self-supervised Learning", arXiv 2110.09348, section 6.
Official code: facebookresearch/directclr, `directclr/main.py`.

- The loss of each direction is N-way, over the other views of all images; the halves are averaged.
- Each view goes through batch norm by itself.
"""

import keras
from keras import KerasTensor

from kerassl.losses import direct_clr
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class DirectCLR(SSLModel):
    """DirectCLR (arXiv 2110.09348).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`; its last block is residual, so
            that the coordinates that the loss does not see learn, too.
        views: `"default"` (`simclr_cifar` up to 64 pixels, else `byol`, as there), a recipe's name, a
            views layer, or `None` for data that holds two views.
        num_classes: number of classes for the online probe; `None` for none.
        subvector_dim: how many of the features, the first ones, the loss sees: d_0 in the paper, 360 of 2048.
        temperature: divides the cosines; > 0.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0 or a `subvector_dim` that the encoder does not have.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.DirectCLR(encoder, subvector_dim=16)
        >>> model.feature_dim
        64
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        subvector_dim: int = 360,
        temperature: float = 0.1,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the paper uses 0.1.")
        super().__init__(
            encoder,
            views=views,
            default_views=("simclr_cifar", "byol"),
            terms=("direct_clr",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        if not 1 <= subvector_dim <= self.feature_dim:
            raise ValueError(
                f"subvector_dim must lie in 1..{self.feature_dim}, the encoder's features, got "
                f"{subvector_dim}; the paper takes 360 of 2048."
            )
        self.subvector_dim = subvector_dim
        self.temperature = temperature

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """The contrast of two views' features."""
        r1, r2 = (self.encode(self.encoder, view, training) for view in views)
        # Each replica compares its own rows with the whole batch.
        candidates, _ = self.gather_candidates(r1, r2)
        loss = direct_clr(r1, r2, self.subvector_dim, self.temperature, candidates=candidates)
        return {"direct_clr": self.mean_over_replicas(loss)}, {"features": (r1, r2)}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "subvector_dim": self.subvector_dim,
            "temperature": self.temperature,
        }
