"""Crops of each image and block-wise patch masks of the global ones, for masked self-distillation."""

import math
from typing import Any

import keras
from keras import KerasTensor, ops

from kerassl.views.base import (
    ViewsOf,
    as_tuple,
    batch_size,
    bernoulli,
    check_probability,
    check_range,
    uniform,
)

# Six mask half of a grid in all but 0.3 % of the draws.
_NUM_BLOCKS = 10
# The blocks' widths over their heights lie between this and its inverse.
_SMALLEST_ASPECT = 0.3


def block_masks(counts: KerasTensor, grid: tuple[int, int], seed: keras.random.SeedGenerator) -> KerasTensor:
    """Draws masks of rectangular blocks of patches, each with an exact count.

    BEiT (arXiv 2106.08254, algorithm 1) adds blocks, each no larger than what is left to mask, until the
    count is reached or ten attempts have failed. XLA allows no such loop: here ten blocks are drawn for every
    image at once, of areas between a ninth of the smaller side's square and the count, and aspect ratios
    between 0.3 and 1 / 0.3. They are laid down in order until the count is reached; the last one is cut off
    row by row, and what ten blocks leave is filled with patches at random.

    Args:
        counts: int32 `(batch,)`, how many patches of each image to mask.
        grid: rows and columns of the patches.
        seed: the generator to draw from.

    Returns:
        Boolean `(batch, rows * columns)`, row by row, true where masked.

    Example:
        >>> import keras
        >>> from kerassl.views import block_masks
        >>> masks = block_masks(keras.ops.convert_to_tensor([0, 5]), (4, 4), keras.random.SeedGenerator(0))
        >>> keras.ops.convert_to_numpy(masks).sum(axis=1).tolist()
        [0, 5]
    """
    rows, columns = grid
    num_patches, batch = rows * columns, ops.shape(counts)[0]
    count = ops.cast(counts, "float32")[:, None]
    of_area, of_aspect, of_top, of_left = (uniform(seed, (batch, _NUM_BLOCKS)) for _ in range(4))
    smallest = ops.minimum(float(max(1, min(grid) // 3) ** 2), count)
    area = smallest + of_area * (count - smallest)
    aspect = ops.exp((2.0 * of_aspect - 1.0) * math.log(_SMALLEST_ASPECT))
    in_rows = _span(ops.sqrt(area / aspect), of_top, rows)
    in_columns = _span(ops.sqrt(area * aspect), of_left, columns)
    covered = ops.logical_and(in_rows[:, :, :, None], in_columns[:, :, None, :])
    covered = ops.cast(ops.reshape(covered, (-1, _NUM_BLOCKS, num_patches)), "int32")
    # Patches in the order in which they are masked: by the first block that covers them, there row by row.
    in_block = ops.cast(ops.argmax(covered, axis=1), "float32")
    in_block = in_block + ops.arange(num_patches, dtype="float32") / num_patches
    left_over = _NUM_BLOCKS + uniform(seed, (batch, num_patches))
    order = ops.where(ops.max(covered, axis=1) > 0, in_block, left_over)
    ranks = ops.argsort(ops.argsort(order, axis=1), axis=1)
    return ops.cast(ranks, "int32") < ops.cast(counts, "int32")[:, None]


def _span(length: KerasTensor, draw: KerasTensor, size: int) -> KerasTensor:
    """Booleans `(..., size)`: where a stretch of about a length, at a random place, lies in 0..size-1."""
    length = ops.clip(ops.round(length), 1.0, float(size))[..., None]
    start = ops.floor(draw[..., None] * (size - length + 1.0))
    place = ops.arange(size, dtype="float32")
    return ops.logical_and(place >= start, place < start + length)


@keras.saving.register_keras_serializable("kerassl")
class MaskedCrops(ViewsOf):
    """Crops of each image, then a patch mask for each of the global ones: `(*crops, *masks)`.

    Each crop of each image draws how much of it is masked: nothing, or a share of its patches drawn
    uniformly. Masks are those of `block_masks`. Source: iBOT, arXiv 2111.07832, section 3.1 and appendix;
    github.com/bytedance/ibot, `loader.py`.

    Args:
        crops: the layer of the crops, such as `MultiCrop` or `TwoViews`, the global ones first.
        grid: rows and columns of a global crop's patches.
        num_global_crops: how many of the crops get a mask.
        mask_probability: probability that a crop is masked at all.
        mask_ratio: the share of the patches masked then, `(low, high)`.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: for fewer crops than masks, a probability outside [0, 1] or shares outside (0, 1].

    Example:
        >>> import numpy as np
        >>> from kerassl.views import FusedAugmentation, MaskedCrops, TwoViews
        >>> views = MaskedCrops(TwoViews(FusedAugmentation(32)), grid=(8, 8))
        >>> [tuple(made.shape) for made in views(np.zeros((4, 32, 32, 3), "uint8"))]
        [(4, 32, 32, 3), (4, 32, 32, 3), (4, 64), (4, 64)]
    """

    def __init__(
        self,
        crops: keras.layers.Layer,
        grid: tuple[int, int],
        num_global_crops: int = 2,
        mask_probability: float = 0.5,
        mask_ratio: tuple[float, float] = (0.1, 0.5),
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(crops, seed=seed, **kwargs)
        if not 1 <= num_global_crops <= crops.num_views:
            raise ValueError(
                f"num_global_crops={num_global_crops} crops cannot be masked: {type(crops).__name__} makes "
                f"{crops.num_views}."
            )
        self.crops, self.grid = crops, tuple(grid)
        self.num_global_crops, self.num_views = num_global_crops, crops.num_views
        self.mask_probability = check_probability("mask_probability", mask_probability)
        self.mask_ratio = check_range("mask_ratio", mask_ratio, high=1.0)

    def call(self, inputs: Any, seed: keras.random.SeedGenerator | None = None) -> tuple:
        """Returns the crops and boolean masks `(batch, patches)` of the first of them."""
        seed = self.generator if seed is None else seed
        crops = as_tuple(self.crops(inputs, seed=seed))
        drawn = self.num_global_crops * batch_size(inputs)
        share = uniform(seed, (drawn,), *self.mask_ratio)
        share = ops.where(bernoulli(seed, drawn, self.mask_probability), share, 0.0)
        counts = ops.cast(ops.floor(share * self.grid[0] * self.grid[1]), "int32")
        masks = block_masks(counts, self.grid, seed)
        return *crops, *ops.split(masks, self.num_global_crops)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "crops": keras.saving.serialize_keras_object(self.crops),
            "grid": self.grid,
            "num_global_crops": self.num_global_crops,
            "mask_probability": self.mask_probability,
            "mask_ratio": self.mask_ratio,
        }

    @classmethod
    def from_config(cls, config: dict) -> "MaskedCrops":
        """Returns the layer of a configuration."""
        return cls(keras.saving.deserialize_keras_object(config.pop("crops")), **config)
