"""The prototype head of DINO."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import PositiveInt, RemembersArguments
from kerassl.engine import mark
from kerassl.heads.mlp import mlp
from kerassl.heads.prototypes import unit


@keras.saving.register_keras_serializable("kerassl")
class DINOHead(RemembersArguments, keras.Model):
    """Three-layer perceptron, L2 norm, then cosine similarity to learned prototypes.

    The prototypes are a weight-normed linear layer whose gain is fixed at 1, as in the official
    default (`norm_last_layer=True`), so that only their direction matters.

    Args:
        input_dim: width of the features that enter.
        num_prototypes: number of prototypes K, the width of the output.
        hidden_dim: width of the two hidden layers.
        bottleneck_dim: width of the normalized embedding.
        use_batch_norm: whether the hidden layers are batch-normalized (off in the paper's ViT runs).
        name: name of the head.

    Source: arXiv 2104.14294; `vision_transformer.py` (DINOHead) of facebookresearch/dino.

    Example:
        >>> import numpy as np
        >>> from kerassl.heads import DINOHead
        >>> head = DINOHead(8, num_prototypes=16, hidden_dim=32, bottleneck_dim=4)
        >>> tuple(head(np.ones((2, 8), "float32")).shape)
        (2, 16)
    """

    def __init__(
        self,
        input_dim: PositiveInt,
        num_prototypes: PositiveInt = 65536,
        hidden_dim: PositiveInt = 2048,
        bottleneck_dim: PositiveInt = 256,
        use_batch_norm: bool = False,
        name: str = "head",
    ) -> None:
        super().__init__(name=name)

        self.output_dims = (num_prototypes,)
        self.mlp = mlp(
            input_dim,
            (hidden_dim, hidden_dim),
            bottleneck_dim,
            activation="gelu",
            hidden_bias=True,
            hidden_batch_norm=use_batch_norm,
            output_bias=True,
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="mlp",
        )
        limit = bottleneck_dim**-0.5
        self.prototypes = self.add_weight(
            name="prototypes",
            shape=(bottleneck_dim, num_prototypes),
            initializer=keras.initializers.RandomUniform(-limit, limit),
        )
        # They may be frozen at first.
        mark(self.prototypes, "starts_late", True)
        self.built = True

    def call(
        self, features: KerasTensor, training: bool = False, frozen: KerasTensor | None = None
    ) -> KerasTensor:
        """Logits `(batch, num_prototypes)`: cosines between embedding and prototypes.

        Args:
            features: `(batch, input_dim)`.
            training: whether batch norm, if any, uses the batch's statistics.
            frozen: boolean scalar tensor; where true no gradient reaches the prototypes.
        """
        embedding = self.mlp(features, training=training)
        prototypes = ops.cast(self.prototypes, embedding.dtype)
        if frozen is not None:
            prototypes = ops.where(frozen, ops.stop_gradient(prototypes), prototypes)
        return ops.matmul(unit(embedding, axis=-1), unit(prototypes, axis=0))
