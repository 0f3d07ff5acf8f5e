"""MACL: SimCLR with a temperature that follows the alignment of positive pairs.

"Model-Aware Contrastive Learning: Towards Escaping the Dilemmas", arXiv 2207.07874.
Official code: chenhaoxing/MACL, `macl.py`.

- Everything but the loss is SimCLR's (`kerassl/methods/contrastive/simclr.py`): views, heads, batch norm
  over both views.
- The alignment is that of the global batch.
"""

from keras import KerasTensor, Model

from kerassl import losses
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER, SimCLR
from kerassl.training import NonNegativeFloat, Recipe


class MACL(SimCLR):
    """MACL (arXiv 2207.07874).

    Args:
        scaling_factor: alpha in the paper: how much the temperature grows with the alignment; >= 0.
        alignment_threshold: A_0 in the paper: the mean cosine of positive pairs at which the temperature is
            `temperature`.
        **kwargs: the other arguments of `SimCLR`: `temperature` (0.1), `projection_dim`,
            `projection_layers`, `block_size`, `seed`, `name`.

    Raises:
        ValueError: as `SimCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> kerassl.methods.MACL(encoder, scaling_factor=1.0).arguments.scaling_factor
        1.0
    """

    terms = ("macl",)

    # As in SimCLR.
    recipes = {"macl": Recipe(paper=SIMCLR_PAPER, short_arguments={"temperature": 0.2})}

    def __init__(
        self,
        encoder: Model,
        *,
        scaling_factor: NonNegativeFloat = 0.5,
        alignment_threshold: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(encoder, **kwargs)

    def contrast(self, z1: KerasTensor, z2: KerasTensor, **global_batch) -> KerasTensor:
        """The loss of this replica's rows, at the temperature of the whole batch's alignment."""
        given = self.arguments
        return losses.macl(
            z1, z2, given.temperature, given.scaling_factor, given.alignment_threshold, **global_batch
        )
