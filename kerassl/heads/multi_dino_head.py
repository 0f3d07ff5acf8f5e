"""Prototype heads of DINO with different numbers of prototypes."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import PositiveInt, RemembersArguments
from kerassl.heads.dino import DINOHead


@keras.saving.register_keras_serializable("kerassl", name="DINOHeads")
class MultiDINOHead(RemembersArguments, keras.Model):
    """Several `DINOHead`s on one encoder, each with a perceptron and a number of prototypes of its own.

    Args:
        input_dim: width of the features that enter every head.
        num_prototypes: number of prototypes of each head.
        hidden_dim: width of the two hidden layers of a head.
        bottleneck_dim: width of a head's normalized embedding.
        use_batch_norm: whether the hidden layers are batch-normalized.
        name: name of the heads.

    Attributes:
        output_dims: the prototypes of all heads together, as a shape.

    Source: arXiv 2408.01031, section 3; alipay/POA, `poa/layers/mdino_head.py`.

    Example:
        >>> import numpy as np
        >>> from kerassl.heads import MultiDINOHead
        >>> heads = MultiDINOHead(8, num_prototypes=(16, 32), hidden_dim=32, bottleneck_dim=4)
        >>> logits = heads(np.ones((2, 8), "float32"))
        >>> tuple(logits.shape), [tuple(part.shape) for part in heads.split(logits)]
        ((2, 48), [(2, 16), (2, 32)])
    """

    def __init__(
        self,
        input_dim: PositiveInt,
        num_prototypes: tuple[PositiveInt, ...],
        hidden_dim: PositiveInt = 2048,
        bottleneck_dim: PositiveInt = 256,
        use_batch_norm: bool = False,
        name: str = "heads",
    ) -> None:
        super().__init__(name=name)

        self.output_dims = (sum(num_prototypes),)
        with keras.name_scope(name):
            self.heads = [
                DINOHead(input_dim, count, hidden_dim, bottleneck_dim, use_batch_norm, name=f"head{i + 1}")
                for i, count in enumerate(num_prototypes)
            ]
        self.built = True

    def call(
        self, features: KerasTensor, training: bool = False, frozen: KerasTensor | None = None
    ) -> KerasTensor:
        """Logits `(batch, prototypes)` of all heads, one head after the other; see `split`.

        Args:
            features: `(batch, input_dim)`.
            training: whether batch norm, if any, uses the batch's statistics.
            frozen: boolean scalar tensor; where true no gradient reaches the prototypes.
        """
        return ops.concatenate([head(features, training=training, frozen=frozen) for head in self.heads], -1)

    def split(self, outputs: KerasTensor) -> list[KerasTensor]:
        """The parts of the heads in a tensor `(..., prototypes)`."""
        parts, start = [], 0
        for count in self.arguments.num_prototypes:
            parts.append(outputs[..., start : start + count])
            start += count
        return parts
