"""DCL and DCLW: SimCLR whose loss leaves the positive pair out of its denominator.

"Decoupled Contrastive Learning", arXiv 2110.06848, proposition 2 and section 3. No code of the authors is
known.

- Everything but the loss is SimCLR's (`kerassl/methods/contrastive/simclr.py`): views, heads, batch norm
  over both views.
- The loss is the mean over the 2N views; the paper sums the two directions.
"""

from keras import KerasTensor, Model

from kerassl import losses
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER, SimCLR
from kerassl.training import PositiveFloat, Recipe


class DCL(SimCLR):
    """DCL (arXiv 2110.06848): SimCLR without the coupling of positives and negatives, for small batches.

    Args:
        **kwargs: the other arguments of `SimCLR`: `temperature` (0.1), `projection_dim`,
            `projection_layers`, `block_size`, `seed`, `name`.

    Raises:
        ValueError: as `SimCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> kerassl.methods.DCL(encoder, num_classes=10).arguments.temperature
        0.1
    """

    terms = ("dcl",)

    # As in SimCLR.
    recipes = {"dcl": Recipe(paper=SIMCLR_PAPER, short_arguments={"temperature": 0.2})}

    def contrast(self, z1: KerasTensor, z2: KerasTensor, **global_batch) -> KerasTensor:
        """The decoupled loss of this replica's rows."""
        return losses.dcl(z1, z2, self.arguments.temperature, **global_batch)


class DCLW(SimCLR):
    """DCLW (arXiv 2110.06848): DCL with larger weights for images whose two views differ more.

    Args:
        sigma: width of the weighting function; > 0. The larger it is, the closer the loss is to DCL.
        **kwargs: the other arguments of `SimCLR`.

    Raises:
        ValueError: as `SimCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> kerassl.methods.DCLW(encoder, num_classes=10, sigma=1.0).arguments.sigma
        1.0
    """

    terms = ("dclw",)

    # As in SimCLR.
    recipes = {"dclw": Recipe(paper=SIMCLR_PAPER, short_arguments={"temperature": 0.2})}

    def __init__(self, encoder: Model, *, sigma: PositiveFloat = 0.5, **kwargs) -> None:
        super().__init__(encoder, **kwargs)

    def contrast(self, z1: KerasTensor, z2: KerasTensor, **global_batch) -> KerasTensor:
        """The weighted decoupled loss of this replica's rows."""
        return losses.dclw(z1, z2, self.arguments.temperature, self.arguments.sigma, **global_batch)
