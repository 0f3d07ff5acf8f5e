"""Mixed Barlow Twins: Barlow Twins, with a regularizer on the embeddings of mixed images.

"Guarding Barlow Twins Against Overfitting with Mixed Samples", arXiv 2312.02151. Official code:
wgcban/mix-bt, `main.py`.

- Views are mixed, that is, after augmentation and normalization. The mixing coefficient is one number per
  batch, drawn from Beta(1, 1), which is uniform.
- Each view and the mixed batch go through batch norm separately.
- Columns are standardized as in Barlow Twins; see `kerassl.losses.mixing_regularizer`.
- The official code for ImageNet halves the regularizer, and warms its weight up over ten epochs. The official
  code for small images has one hidden layer of 512, 1024 outputs, and no solarization in either view.
- Partners are drawn from the global batch, so devices exchange the second views, pixels and all.
"""

from keras import KerasTensor, Model, ops, random

from kerassl.losses import barlow_twins, mixing_regularizer
from kerassl.methods.redundancy.barlow_twins import BarlowTwins
from kerassl.training import Batch, NonNegativeFloat, Outputs, Recipe
from kerassl.views import mix_views


class MixedBarlowTwins(BarlowTwins):
    """Mixed Barlow Twins (arXiv 2312.02151).

    Args:
        mixing_weight: weight of the regularizer, lambda_reg in the paper; >= 0. 4 for small images, 1
            (halved) for ImageNet in the official runs; 0 is Barlow Twins.
        **kwargs: the other arguments of `BarlowTwins`: `redundancy_weight` (1 / 128 in the official runs on
            small images), which also weights the regularizer; `projection_dim`, `hidden_dim`, `seed`, `name`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.MixedBarlowTwins(encoder, projection_dim=64, hidden_dim=64)
        >>> model.step_metrics.terms
        ('barlow_twins', 'mixing')
    """

    terms = ("barlow_twins", "mixing")

    recipes = {
        "mixed_barlow_twins": Recipe(
            # For small images, as is the weight of the regularizer.
            paper={"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 1e-6, "warmup_epochs": 10},
            arguments={"redundancy_weight": 1 / 128, "hidden_dim": 512, "projection_dim": 1024},
            short_arguments={"projection_dim": 512},
        )
    }

    def __init__(self, encoder: Model, *, mixing_weight: NonNegativeFloat = 4.0, **kwargs) -> None:
        super().__init__(encoder, **kwargs)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Barlow Twins of the two views, and the regularizer of a third batch that mixes them."""
        view1, view2 = views
        everyone = self.gather(view2)
        mixing, permutation = self.draw_mixing(ops.shape(everyone)[0], training)
        # Each replica mixes its own rows.
        rows = self.row_offset(ops.shape(view1)[0]) + ops.arange(ops.shape(view1)[0], dtype="int32")
        mixed = mix_views(view1, everyone, mixing, ops.take(permutation, rows))

        features = [self.encode(self.encoder, view, training) for view in (view1, view2, mixed)]
        z1, z2, z_mixed = (self.gather(self.projector(f, training=training)) for f in features)
        loss = barlow_twins(z1, z2, redundancy_weight=self.arguments.redundancy_weight)
        regularizer = mixing_regularizer(z1, z2, z_mixed, mixing, permutation)
        weight = self.arguments.mixing_weight * self.arguments.redundancy_weight
        return Outputs({"barlow_twins": loss, "mixing": weight * regularizer}, features=features)

    def draw_mixing(self, batch: int | KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """The mixing coefficient of the first views, and the partner of each image of the global batch."""
        rng = self.clock.seed("mixing", training)
        mixing = random.uniform((), seed=rng)
        return mixing, ops.argsort(random.uniform((batch,), seed=rng))
