"""Mixtures of images."""

from keras import KerasTensor, ops


def mix_views(
    view1: KerasTensor, view2: KerasTensor, mixing: float | KerasTensor, permutation: KerasTensor
) -> KerasTensor:
    """Each image of one view mixed with another image of the other (mixup, arXiv 1710.09412).

    Args:
        view1: `(batch, height, width, channels)` floats.
        view2: `(all, height, width, channels)` floats.
        mixing: share of the first view, in [0, 1]: a number, or one scalar tensor for the batch.
        permutation: `(batch,)` integers: the row of `view2` that each row of `view1` is mixed with.

    Returns:
        `(batch, height, width, channels)`, in the dtype of `view1`.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kerassl.views import mix_views
        >>> mixed = mix_views(np.array([0.0, 4.0]), np.array([8.0, 16.0]), 0.75, np.array([1, 0]))
        >>> keras.ops.convert_to_numpy(mixed).tolist()
        [4.0, 5.0]
    """
    view1 = ops.convert_to_tensor(view1)
    mixing = ops.cast(mixing, view1.dtype)
    return mixing * view1 + (1.0 - mixing) * ops.take(view2, permutation, axis=0)
