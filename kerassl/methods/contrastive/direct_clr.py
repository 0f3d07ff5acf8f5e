"""DirectCLR: contrast the first dimensions of the representation itself, without a head.

"Understanding Dimensional Collapse in Contrastive Self-supervised Learning", arXiv 2110.09348, section 6.
Official code: facebookresearch/directclr, `directclr/main.py`.

- The loss of each direction is N-way, over the other views of all images; the halves are averaged.
- Each view goes through batch norm separately.
"""

from keras import Model

from kerassl.losses import direct_clr
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack


class DirectCLR(SSLModel):
    """DirectCLR (arXiv 2110.09348).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`; its last block is residual, so
            that the dimensions outside the loss learn, too.
        subvector_dim: number of first features that enter the loss: d_0 in the paper, 360 of 2048.
        temperature: divides the cosines; > 0.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for a `subvector_dim` above the encoder's width.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.DirectCLR(encoder, subvector_dim=16)
        >>> model.feature_dim
        128
    """

    family, terms, default_views = "contrastive", ("direct_clr",), ("simclr_cifar", "byol")

    # As in SimCLR.
    recipes = {
        "direct_clr": Recipe(paper=SIMCLR_PAPER, short_arguments={"temperature": 0.2, "subvector_dim": 64})
    }

    def __init__(
        self,
        encoder: Model,
        *,
        subvector_dim: PositiveInt = 360,
        temperature: PositiveFloat = 0.1,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        if subvector_dim > self.feature_dim:
            raise ValueError(
                f"subvector_dim must be at most {self.feature_dim}, the width of the encoder's features, got "
                f"{subvector_dim}; the paper takes 360 of 2048."
            )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The contrast of two views' features."""
        r1, r2 = (self.encode(self.encoder, view, training) for view in views)
        # Each replica compares its own rows with the whole batch.
        candidates = self.global_batch(r1, r2)["candidates"]
        given = self.arguments
        loss = direct_clr(r1, r2, given.subvector_dim, given.temperature, candidates=candidates)
        return Outputs({"direct_clr": self.mean_over_replicas(loss)}, features=(r1, r2))
