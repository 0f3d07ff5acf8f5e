"""VISReg: LeJEPA with a regularizer of three terms: center, scale and shape of the embeddings.

"VISReg: Variance-Invariance-Sketching Regularization for JEPA training", arXiv 2606.02572, section 3.
Official code: HaiyuWu/visreg, `visreg/losses/visreg.py`.

- Everything but the regularizer and the head's activation is LeJEPA's
  (`kerassl/methods/redundancy/lejepa.py`).
- The regularizer is computed over the global batch, with gradients of all replicas, which share the
  directions.
"""

from keras import KerasTensor

from kerassl.losses import visreg
from kerassl.methods.redundancy.lejepa import LeJEPA
from kerassl.training import Recipe


class VISReg(LeJEPA):
    """VISReg (arXiv 2606.02572).

    Args:
        num_views: views of each image that a named preset of two views makes.
        num_global_views: number of first views whose mean is the target of all views.
        regularization_weight: lambda in the paper, in (0, 1): 0.9 and 0.8 on ImageNet, 0.6 on a small data
            set.
        num_directions: number of random directions in each step: 4096 in the official runs.
        projection_dim: width of the embedding: 256 for a ViT-B, 128 on a small data set.
        **kwargs: the other arguments of `LeJEPA`: `hidden_dim`, `seed`, `name`.

    Raises:
        ValueError: as `LeJEPA`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.VISReg(encoder)
        >>> model.projector.output_shape
        (None, 256)
    """

    activation, terms = "gelu", ("invariance", "visreg")
    default_arguments = {
        "num_views": 4,
        "num_global_views": 4,
        "regularization_weight": 0.9,
        "num_directions": 4096,
        "projection_dim": 256,
    }

    # HaiyuWu/visreg.
    recipes = {
        "visreg": Recipe(
            paper={
                "optimizer": "adamw",
                "learning_rate": 9e-4,
                "weight_decay": 0.05,
                "warmup_epochs": 5,
                "options": {"global_clipnorm": 1.0},
            },
            # The weight of the official run on a small data set.
            short_arguments={
                "regularization_weight": 0.6,
                "num_directions": 256,
                "hidden_dim": 512,
                "projection_dim": 128,
            },
        )
    }

    def regularization(self, z: list, directions: KerasTensor) -> KerasTensor:
        """Center, scale and shape terms of the global batch."""
        return visreg([self.gather(view) for view in z], directions)
