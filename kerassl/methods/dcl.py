"""DCL and DCLW: SimCLR whose loss leaves the positive pair out of its denominator.

"Decoupled Contrastive Learning", arXiv 2110.06848, proposition 2 and section 3.
A repository of the authors is not known.

- Everything but the loss is SimCLR's (`kerassl/methods/simclr.py`): views, heads, batch norm over both views.
- The loss is the mean over the 2N views; the paper sums the two directions.
"""

import keras
from keras import KerasTensor

from kerassl import losses
from kerassl.methods.simclr import SimCLR


@keras.saving.register_keras_serializable("kerassl")
class DCL(SimCLR):
    """DCL (arXiv 2110.06848): SimCLR without the coupling of positives and negatives, for small batches.

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: as in `SimCLR`.
        num_classes: number of classes for the online probe; `None` for none.
        **kwargs: the other arguments of `SimCLR`: `temperature` (0.1), `projection_dim`,
            `projection_layers`, `block_size`, `seed`, `name`.

    Raises:
        ValueError: as `SimCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> kerassl.methods.DCL(encoder, num_classes=10).temperature
        0.1
    """

    loss_name = "dcl"

    def contrast(self, z1: KerasTensor, z2: KerasTensor, **share) -> KerasTensor:
        """The decoupled loss of this replica's rows."""
        return losses.dcl(z1, z2, self.temperature, **share)


@keras.saving.register_keras_serializable("kerassl")
class DCLW(SimCLR):
    """DCLW (arXiv 2110.06848): DCL that weighs an image the more, the less alike its two views are.

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: as in `SimCLR`.
        num_classes: number of classes for the online probe; `None` for none.
        sigma: width of the weights, > 0; the larger, the nearer to DCL.
        **kwargs: the other arguments of `SimCLR`.

    Raises:
        ValueError: for a sigma <= 0, and as `SimCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> kerassl.methods.DCLW(encoder, num_classes=10, sigma=1.0).sigma
        1.0
    """

    loss_name = "dclw"

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        sigma: float = 0.5,
        **kwargs,
    ) -> None:
        if sigma <= 0:
            raise ValueError(f"sigma must be > 0, got {sigma}; the paper uses 0.5.")
        super().__init__(encoder, views, num_classes, **kwargs)
        self.sigma = sigma

    def contrast(self, z1: KerasTensor, z2: KerasTensor, **share) -> KerasTensor:
        """The weighted decoupled loss of this replica's rows."""
        return losses.dclw(z1, z2, self.temperature, self.sigma, **share)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {**super().get_config(), "sigma": self.sigma}
