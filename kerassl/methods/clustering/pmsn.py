"""PMSN: MSN with a power-law prior over the prototypes' shares of the images.

"The Hidden Uniform Cluster Prior in Self-Supervised Learning", arXiv 2210.07277, section 4. No official code.

- The divergence is `KL(mean || prior)`, the only direction that equals MSN's regularizer for a uniform prior.
- The targets are not balanced by Sinkhorn-Knopp, which would spread them evenly again; with
  `sinkhorn_iterations` it spreads them by the prior.
- Prototype k has the k-th largest share from the start: the order is arbitrary, as all start equally.
"""

from keras import KerasTensor, Model

from kerassl.losses import power_law_prior
from kerassl.methods.clustering.msn import MSN, MSN_PAPER, SHORT_MSN
from kerassl.methods.self_distillation.dino import SHORT_VIT
from kerassl.training import NonNegativeFloat, Recipe


class PMSN(MSN):
    """PMSN (arXiv 2210.07277): `MSN` with a prior for long-tailed data.

    Args:
        encoder: as in `MSN`.
        prior_exponent: exponent of the power law, tau in the paper; >= 0. 0 is MSN's uniform prior.
        sinkhorn_iterations: iterations of Sinkhorn-Knopp, with the prior, on the targets; 0 for none.
        **kwargs: the other arguments of `MSN`.

    Raises:
        ValueError: as `MSN`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=8, depth=1)
        >>> model = kerassl.methods.PMSN(encoder, num_prototypes=2, hidden_dim=64, prior_exponent=1.0)
        >>> print([round(float(share), 3) for share in model.prior()])
        [0.667, 0.333]
    """

    default_arguments = {"sinkhorn_iterations": 0}
    # As in MSN.
    recipes = {
        "pmsn": Recipe(
            paper=MSN_PAPER,
            short=SHORT_VIT,
            # At a weight of 1, most prototypes were unused after two epochs of the CPU protocol.
            short_arguments={**SHORT_MSN, "regularization_weight": 4.0},
            backbone="vit_tiny",
        )
    }

    def __init__(self, encoder: Model, *, prior_exponent: NonNegativeFloat = 0.25, **kwargs) -> None:
        super().__init__(encoder, **kwargs)

    def prior(self) -> KerasTensor:
        """The prior: the share of images that each prototype should get."""
        return power_law_prior(self.arguments.num_prototypes, self.arguments.prior_exponent)
