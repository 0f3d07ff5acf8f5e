"""Two views of each image, and where in the image each was cropped, for losses on feature maps."""

import keras
from keras import KerasTensor, ops

from kerassl.views.image.base import check_images
from kerassl.views.image.crop import Crop
from kerassl.views.image.fused import FusedAugmentation
from kerassl.views.multiview import TwoViews


@keras.saving.register_keras_serializable("kerassl")
class LocatedViews(TwoViews):
    """Two views of each image and their boxes, `(view1, view2, boxes1, boxes2)`.

    A box is `(top, left, height, width, mirrored)`: the crop in pixels of the raw image, and 1 where the
    view shows it mirrored, else 0. `cell_centers` says from it where a cell of a feature map lies.

    Args:
        view1: the `FusedAugmentation` of the first view.
        view2: the `FusedAugmentation` of the second; `None` draws both from the first.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: for a layer that is no `FusedAugmentation`, and so does not say where it cropped.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import FusedAugmentation, LocatedViews
        >>> views = LocatedViews(FusedAugmentation(32))
        >>> [tuple(made.shape) for made in views(np.zeros((4, 40, 40, 3), "uint8"))]
        [(4, 32, 32, 3), (4, 32, 32, 3), (4, 5), (4, 5)]
    """

    def __init__(
        self,
        view1: keras.layers.Layer,
        view2: keras.layers.Layer | None = None,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(view1, view2, seed, **kwargs)
        for view in (self.view1, self.view2):
            if not isinstance(view, FusedAugmentation):
                raise ValueError(
                    f"{type(view).__name__} does not say where it cropped; LocatedViews needs a "
                    "kerassl.views.FusedAugmentation."
                )

    def call(self, inputs: KerasTensor, seed: keras.random.SeedGenerator | None = None) -> tuple:
        """Returns two views and float32 `(batch, 5)` boxes of each."""
        check_images(inputs)
        seed = self.generator if seed is None else seed
        (view1, crop1), (view2, crop2) = (
            view.augment_and_locate(inputs, seed) for view in (self.view1, self.view2)
        )
        return view1, view2, _boxes(crop1), _boxes(crop2)


def cell_centers(boxes: KerasTensor, height: int, width: int) -> KerasTensor:
    """Where the cells of a view's feature map lie in the raw image.

    Args:
        boxes: `(batch, 5)` boxes of `LocatedViews`.
        height: rows of the feature map.
        width: columns of the feature map.

    Returns:
        float32 `(batch, height * width, 2)`: row and column of each cell's center in pixels, from the top
        left corner, in the order of the map's cells. The columns of a mirrored view run backwards.

    Example:
        >>> import keras
        >>> from kerassl.views import cell_centers
        >>> centers = cell_centers([[10.0, 0.0, 4.0, 8.0, 1.0]], height=1, width=2)
        >>> keras.ops.convert_to_numpy(centers).tolist()
        [[[12.0, 6.0], [12.0, 2.0]]]
    """
    top, left, box_height, box_width, mirrored = ops.split(ops.cast(boxes, "float32"), 5, axis=1)
    rows = top + (ops.arange(height, dtype="float32") + 0.5) / height * box_height
    across = (ops.arange(width, dtype="float32") + 0.5) / width
    columns = left + ops.where(mirrored > 0.5, 1.0 - across, across) * box_width
    return ops.stack([ops.repeat(rows, width, axis=1), ops.tile(columns, (1, height))], axis=-1)


def _boxes(crop: Crop) -> KerasTensor:
    mirrored = ops.zeros_like(crop.top) if crop.mirrored is None else ops.cast(crop.mirrored, "float32")
    return ops.stack([crop.top, crop.left, crop.height, crop.width, mirrored], axis=1)
