"""Prototypes: unit vectors that embeddings are compared with."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import PositiveFloat, PositiveInt, RemembersArguments
from kerassl.engine import mark


@keras.saving.register_keras_serializable("kerassl")
class PrototypeHead(RemembersArguments, keras.layers.Layer):
    """Cosines of embeddings with K learned unit vectors, without bias and without gain.

    The prototypes are brought back to length one after each update of any optimizer, and weight decay
    and LARS leave them alone.

    Args:
        input_dim: width of an embedding.
        num_prototypes: number of prototypes K.
        normalize_gradient: whether the gradient passes through the division by a prototype's length, which
            takes away its part along the prototype (weight normalization, as in DINO); otherwise the length
            is mended afterwards only (as in SwAV).
        temperature: divides the cosines, in a classifier; > 0.
        num_heads: number of heads, each of which has an embedding and K prototypes of its own; `None` for one
            without an axis of heads.
        name: name of the head.

    Attributes:
        prototypes: variable `([num_heads,] input_dim, num_prototypes)` of unit columns.

    Raises:
        ValueError: for a width or number below 1, or a temperature <= 0.

    Source: arXiv 2006.09882, section 3.1; facebookresearch/swav, `src/resnet50.py` and `main_swav.py`.

    Example:
        >>> import keras, kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> encoder.trainable = False
        >>> classifier = keras.Sequential([encoder, kerassl.heads.PrototypeHead(64, 10, temperature=0.1)])
        >>> classifier.output_shape, len(classifier.trainable_variables)
        ((None, 10), 1)
    """

    def __init__(
        self,
        input_dim: PositiveInt,
        num_prototypes: PositiveInt,
        normalize_gradient: bool = False,
        temperature: PositiveFloat = 1.0,
        num_heads: PositiveInt | None = None,
        name: str = "prototypes",
        **kwargs,
    ) -> None:
        super().__init__(name=name, **kwargs)
        limit = input_dim**-0.5

        def unit_columns(shape: tuple, dtype: str):
            return unit(keras.random.uniform(shape, -limit, limit, dtype=dtype), axis=-2)

        heads = () if num_heads is None else (num_heads,)
        self.prototypes = self.add_weight(
            name="prototypes",
            shape=(*heads, input_dim, num_prototypes),
            initializer=unit_columns,
            constraint=keras.constraints.UnitNorm(axis=-2),
        )
        mark(self.prototypes, "is_decayed", False)
        # They may be frozen at first.
        mark(self.prototypes, "starts_late", True)
        self.built = True

    def call(self, embeddings: KerasTensor, frozen: KerasTensor | None = None) -> KerasTensor:
        """Float32 cosines `(..., num_prototypes)` over the temperature.

        Args:
            embeddings: `(..., input_dim)` of any length; `(batch, num_heads, input_dim)` for several heads.
            frozen: boolean scalar tensor; where true no gradient reaches the prototypes.
        """
        prototypes = ops.cast(self.prototypes, "float32")
        if frozen is not None:
            prototypes = ops.where(frozen, ops.stop_gradient(prototypes), prototypes)
        if self.arguments.normalize_gradient:
            prototypes = unit(prototypes, axis=-2)
        embeddings = unit(ops.cast(embeddings, "float32"), axis=-1)
        if self.arguments.num_heads is None:
            return ops.matmul(embeddings, prototypes) / self.arguments.temperature
        return ops.einsum("bhi,hik->bhk", embeddings, prototypes) / self.arguments.temperature

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(..., num_prototypes)`."""
        return (*input_shape[:-1], self.arguments.num_prototypes)


def start_positive(head: PrototypeHead) -> None:
    """Makes the entries of all prototypes positive, so that none is far from another: mean cosine 3/4.

    As `torch.rand` does in the official code of PALM and ST-ProtoPNet.
    """
    head.prototypes.assign(ops.abs(head.prototypes))


def unit(vectors: KerasTensor, axis: int) -> KerasTensor:
    """Vectors divided by their L2 norm, in float32; a zero vector stays zero, with a finite gradient."""
    wide = ops.cast(vectors, "float32")
    square = ops.sum(ops.square(wide), axis=axis, keepdims=True)
    return ops.cast(wide * ops.rsqrt(ops.maximum(square, 1e-24)), vectors.dtype)
