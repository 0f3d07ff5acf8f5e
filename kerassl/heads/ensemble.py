"""Several prototype heads on one encoder."""

import keras
from keras import KerasTensor

from kerassl.arguments import PositiveInt, RemembersArguments
from kerassl.heads.multi_head import multi_head_mlp
from kerassl.heads.prototypes import PrototypeHead


@keras.saving.register_keras_serializable("kerassl")
class EnsembleHead(RemembersArguments, keras.Model):
    """Projection heads with prototypes of their own: in each a three-layer perceptron, then cosines.

    One head of it is a `DINOHead`, but for prototypes that are kept at length one and are not decayed. All
    are computed as one batch of products: the weights of a layer of all heads are one tensor.

    Args:
        input_dim: width of the features that enter every head.
        num_prototypes: number of prototypes K of a head.
        num_heads: number of heads.
        hidden_dim: width of the two hidden layers of a head.
        bottleneck_dim: width of the embedding that meets a head's prototypes.
        use_batch_norm: whether the hidden layers are batch-normalized.
        name: name of the heads.

    Attributes:
        projector: the perceptrons, from `(batch, input_dim)` to `(batch, num_heads, bottleneck_dim)`.
        prototypes: a `PrototypeHead` of all heads.

    Source: arXiv 2211.09981, section 3.

    Example:
        >>> import numpy as np
        >>> from kerassl.heads import EnsembleHead
        >>> head = EnsembleHead(8, num_prototypes=16, num_heads=4, hidden_dim=32, bottleneck_dim=4)
        >>> tuple(head(np.ones((2, 8), "float32")).shape)
        (2, 4, 16)
    """

    def __init__(
        self,
        input_dim: PositiveInt,
        num_prototypes: PositiveInt,
        num_heads: PositiveInt,
        hidden_dim: PositiveInt = 2048,
        bottleneck_dim: PositiveInt = 256,
        use_batch_norm: bool = False,
        name: str = "head",
    ) -> None:
        super().__init__(name=name)

        self.output_dims = (num_heads, num_prototypes)
        self.projector = multi_head_mlp(
            input_dim,
            (hidden_dim, hidden_dim),
            bottleneck_dim,
            num_heads,
            activation="gelu",
            hidden_batch_norm=use_batch_norm,
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="projector",
        )
        self.prototypes = PrototypeHead(
            bottleneck_dim, num_prototypes, normalize_gradient=True, num_heads=num_heads
        )
        self.built = True

    def call(
        self, features: KerasTensor, training: bool = False, frozen: KerasTensor | None = None
    ) -> KerasTensor:
        """Float32 logits `(batch, num_heads, num_prototypes)`: cosines between embeddings and prototypes.

        Args:
            features: `(batch, input_dim)`.
            training: whether batch norm, if any, uses the batch's statistics.
            frozen: boolean scalar tensor; where true no gradient reaches the prototypes.
        """
        return self.prototypes(self.projector(features, training=training), frozen=frozen)
