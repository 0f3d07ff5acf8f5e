"""ST-ProtoPNet: a ProtoPNet with prototypes far from the class boundaries, and others near them.

"Learning Support and Trivial Prototypes for Interpretable Image Classification", arXiv 2301.04011. Official
code: cwangrun/ST-ProtoPNet, `full/model.py`, `full/train_and_test.py` (whole images).

- Two branches over one encoder, each with its own convolutions, unit prototypes and last layer; patches are
  compared by their cosine, and the logits are summed. Trivial prototypes discriminate between classes,
  support prototypes are close to those of others.
- Both branches learn from every batch; in the official code they alternate.
- Prototypes are normalized after each update; in the official code, within the loss.
- Push, last layers, warm-up and pictures are those of `ProtoPNet`.
"""

import keras
from keras import KerasTensor, layers, ops

from kerassl.classifiers.proto_pnet import ProtoPNet, convolution_1x1
from kerassl.heads import PrototypeHead
from kerassl.heads.prototypes import start_positive, unit
from kerassl.losses import prototype_closeness, prototype_discrimination, prototype_orthogonality
from kerassl.training import Common, NonNegativeFloat, NonNegativeInt, PositiveInt, Recipe, Unpack


class STProtoPNet(ProtoPNet):
    """ST-ProtoPNet (arXiv 2301.04011).

    Args:
        encoder: as in `ProtoPNet`.
        prototypes_per_class: number of prototypes of each class in each branch.
        prototype_dim: width of a prototype.
        upsampling: factor by which patches are finer than the feature map, at least 1.
        cluster_weight: weight of the similarity to the nearest prototype of the image's class, in both
            branches.
        trivial_separation_weight: weight of the similarity to the nearest prototype of another class.
        support_separation_weight: the same weight for support prototypes.
        orthogonality_weight: weight of the orthogonality of a class's prototypes, in both branches.
        discrimination_weight: weight of the separation of different classes' trivial prototypes.
        closeness_weight: weight of the closeness of different classes' support prototypes.
        l1_weight: as in `ProtoPNet`.
        warmup_epochs: as in `ProtoPNet`.
        push_start_epoch: as in `ProtoPNet`.
        push_every: as in `ProtoPNet`.
        last_layer_iterations: as in `ProtoPNet`.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: as `ProtoPNet`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4, pool=None)
        >>> model = kerassl.classifiers.STProtoPNet(encoder, num_classes=10, prototypes_per_class=2)
        >>> [tuple(head.prototypes.shape) for head in model.prototypes]
        [(64, 20), (64, 20)]
    """

    terms = (
        "cross_entropy",
        "cluster",
        "separation",
        "orthogonality",
        "discrimination",
        "closeness",
    )
    branches = ("trivial", "support")

    # As in ProtoPNet.
    recipes = {
        "st_proto_pnet": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-3, "warmup_epochs": 0},
            short_arguments={"warmup_epochs": 1, "push_start_epoch": 10},
            backbone_args={"pool": None},
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        prototypes_per_class: PositiveInt = 5,
        prototype_dim: PositiveInt = 64,
        upsampling: PositiveInt = 2,
        cluster_weight: NonNegativeFloat = 0.8,
        trivial_separation_weight: NonNegativeFloat = 0.08,
        support_separation_weight: NonNegativeFloat = 0.48,
        orthogonality_weight: NonNegativeFloat = 1e-3,
        discrimination_weight: NonNegativeFloat = 1.0,
        closeness_weight: NonNegativeFloat = 1.0,
        l1_weight: NonNegativeFloat = 1e-4,
        warmup_epochs: NonNegativeFloat = 10,
        push_start_epoch: NonNegativeInt = 100,
        push_every: PositiveInt = 10,
        last_layer_iterations: PositiveInt = 100,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            encoder,
            prototypes_per_class=prototypes_per_class,
            prototype_dim=prototype_dim,
            cluster_weight=cluster_weight,
            l1_weight=l1_weight,
            warmup_epochs=warmup_epochs,
            push_start_epoch=push_start_epoch,
            push_every=push_every,
            last_layer_iterations=last_layer_iterations,
            **common,
        )

    def make_add_on(self, name: str) -> keras.Sequential:
        """Maps the cells of the feature map to finer patches: two linear 1 x 1 convolutions."""
        width = self.arguments.prototype_dim
        parts = [keras.Input(self.encoder.output_shape[1:])]
        with keras.name_scope(name):
            if self.arguments.upsampling > 1:
                how = {"interpolation": "bilinear", "data_format": "channels_last"}
                parts.append(layers.UpSampling2D(self.arguments.upsampling, **how))
            parts += [convolution_1x1(width) for _ in range(2)]
            return keras.Sequential(parts, name=name)

    def make_prototypes(self, name: str) -> PrototypeHead:
        """Cosines of patches with the unit prototypes of a branch."""
        head = PrototypeHead(self.arguments.prototype_dim, self.num_prototypes, name=name)
        start_positive(head)
        return head

    def latents(self, branch: int, encoded: KerasTensor) -> KerasTensor:
        """The normalized patches of a feature map in a branch."""
        return unit(super().latents(branch, encoded), axis=-1)

    def patch_distances(self, branch: int, encoded: KerasTensor) -> KerasTensor:
        """Minus the cosines of patches and prototypes."""
        return -super().patch_distances(branch, encoded)

    def similarity(self, distances: KerasTensor) -> KerasTensor:
        """The cosines."""
        return -distances

    def prototype_costs(self, distances: list[KerasTensor], labels: KerasTensor) -> dict:
        """The terms besides the cross entropy, summed over the branches that have them."""
        # Cosines are clipped at 0, as in the official code.
        distances = [ops.minimum(nearest, 0) for nearest in distances]
        given = self.arguments
        separation_weights = given.trivial_separation_weight, given.support_separation_weight
        cluster = separation = orthogonality = 0.0
        by_class = []
        for branch, weight in enumerate(separation_weights):
            pair = self.cluster_and_separation(branch, distances[branch], labels)
            cluster, separation = cluster + pair[0], separation - weight * pair[1]
            shape = (self.num_classes, self.arguments.prototypes_per_class, self.arguments.prototype_dim)
            by_class.append(ops.reshape(ops.transpose(self.prototypes[branch].prototypes), shape))
            orthogonality = orthogonality + prototype_orthogonality(by_class[-1])
        trivial, support = by_class
        return {
            "cluster": self.arguments.cluster_weight * cluster,
            "separation": separation,
            "orthogonality": given.orthogonality_weight * orthogonality,
            "discrimination": given.discrimination_weight * prototype_discrimination(trivial),
            "closeness": given.closeness_weight * prototype_closeness(support),
        }
