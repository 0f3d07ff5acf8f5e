"""Random patch masks for masked modeling."""

from typing import Any

import keras
from keras import KerasTensor, ops

from kerassl.arguments import PositiveInt, check_value
from kerassl.views.base import RandomLayer, ViewsOf, batch_size, uniform
from kerassl.views.multiview import one_view


def check_num_patches(num_patches: int) -> int:
    """Returns `num_patches` if it is a positive integer, and raises `ValueError` otherwise."""
    check_value("num_patches", num_patches, PositiveInt)
    return int(num_patches)


def random_patch_permutation(
    batch_size: int | KerasTensor, num_patches: int, seed: keras.random.SeedGenerator
) -> KerasTensor:
    """Draws a uniform permutation of the patches for every input.

    Args:
        batch_size: number of inputs, an integer or a scalar tensor.
        num_patches: L, patches of an input.
        seed: the generator to draw from.

    Returns:
        int32 `(batch_size, num_patches)`, a permutation a row.

    Example:
        >>> import keras
        >>> from kerassl.views import random_patch_permutation
        >>> rows = random_patch_permutation(2, 4, keras.random.SeedGenerator(0))
        >>> sorted(keras.ops.convert_to_numpy(rows)[1].tolist())
        [0, 1, 2, 3]
    """
    return ops.cast(ops.argsort(uniform(seed, (batch_size, num_patches)), axis=-1), "int32")


@keras.saving.register_keras_serializable("kerassl")
class RandomPatchMask(RandomLayer):
    """Draws a uniform permutation of the patches for every input of a batch.

    Whoever uses it keeps the first floor(L (1 - ratio)) of the L indices; the argsort of a permutation
    undoes it (MAE, arXiv 2111.06377, section 3; github.com/facebookresearch/mae).

    Args:
        num_patches: L, patches of an input.
        seed: seed of the layer's own generator.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import RandomPatchMask
        >>> tuple(RandomPatchMask(16)(np.zeros((2, 8, 8, 3), "uint8")).shape)
        (2, 16)
    """

    def __init__(self, num_patches: int, seed: int | None = None, **kwargs) -> None:
        super().__init__(seed=seed, **kwargs)
        self.num_patches = check_num_patches(num_patches)

    def call(self, inputs: Any, seed: keras.random.SeedGenerator | None = None) -> KerasTensor:
        """Returns int32 `(batch, num_patches)`, a permutation a row; only the batch size is read."""
        seed = self.generator if seed is None else seed
        return random_patch_permutation(batch_size(inputs), self.num_patches, seed)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {**super().get_config(), "num_patches": self.num_patches}


@keras.saving.register_keras_serializable("kerassl")
class MaskedView(ViewsOf):
    """A view and a patch permutation for each input.

    Args:
        view: the layer of the view, such as `FusedAugmentation`.
        num_patches: patches of a view.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import FusedAugmentation, MaskedView
        >>> views = MaskedView(FusedAugmentation(32), num_patches=64)
        >>> view, permutation = views(np.zeros((2, 32, 32, 3), "uint8"))
        >>> tuple(permutation.shape)
        (2, 64)
    """

    num_views = 1

    def __init__(self, view: keras.layers.Layer, num_patches: int, seed: int | None = None, **kwargs) -> None:
        super().__init__(view, seed=seed, **kwargs)
        self.view = view
        self.num_patches = check_num_patches(num_patches)

    def call(self, inputs: Any, seed: keras.random.SeedGenerator | None = None) -> tuple:
        """Returns the view and int32 permutations `(batch, num_patches)`."""
        seed = self.generator if seed is None else seed
        view = one_view(self.view, inputs, seed)
        return view, random_patch_permutation(batch_size(inputs), self.num_patches, seed)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        view = keras.saving.serialize_keras_object(self.view)
        return {**super().get_config(), "view": view, "num_patches": self.num_patches}

    @classmethod
    def from_config(cls, config: dict) -> "MaskedView":
        """Returns the layer of a configuration."""
        return cls(keras.saving.deserialize_keras_object(config.pop("view")), **config)
