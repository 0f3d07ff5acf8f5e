"""A head without weights: features weighted by their place."""

import math

import keras
from keras import KerasTensor, ops

from kerassl.arguments import Annotated, Bound, RemembersArguments

# Near the smallest normal float32 number: smaller weights would be zero on some devices and not on others.
_SMALLEST = 1e-37


@keras.saving.register_keras_serializable("kerassl")
class FixedReweighting(RemembersArguments, keras.layers.Layer):
    """Multiplies feature i, counted from 0, by `kappa^-i`: a stand-in for a learned projection head.

    The loss looks at the first features most, as the layers of a trained head do; the features before this
    layer are used afterwards. It has no weights, and computes in float32.

    Source: Xue et al., Investigating the Benefits of Projection Head for Representation Learning, arXiv
    2403.11391, section 5; jiayini1119/projection-head-experiments, models/spuco_model.py.

    Args:
        kappa: at least 1, where it changes nothing. The weight of the last of d features is `kappa^(1 - d)`:
            a thousandth for 1.055 and 128 features, or 1.0034 and 2048.
        name: name of the layer.

    Raises:
        ValueError: for a kappa below 1.

    Example:
        >>> import numpy as np
        >>> from kerassl.heads import FixedReweighting
        >>> print(np.array(FixedReweighting(kappa=2.0)(np.ones((1, 4)))))
        [[1.    0.5   0.25  0.125]]
    """

    def __init__(self, kappa: Annotated[float, Bound(1)], name: str = "fixed_reweighting") -> None:
        super().__init__(name=name, dtype="float32")
        self.built = True

    def call(self, features: KerasTensor, training: bool = False) -> KerasTensor:
        """Weighs features `(batch, dim)`."""
        place = ops.arange(features.shape[-1], dtype="float32")
        return features * ops.maximum(ops.exp(-math.log(self.arguments.kappa) * place), _SMALLEST)
