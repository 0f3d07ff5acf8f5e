"""Images in memory or in files, in an order that is a pure function of (seed, epoch, index)."""

import numpy as np

from kerassl.data.array_dataset import ArrayDataset
from kerassl.data.lazy_images import LazyImages
from kerassl.data.validation import validate_labels
from kerassl.views.image.base import ImageModality


class OfAnyScale(ImageModality):
    """Images whose scale the views will know."""

    value_range = None


class ImageDataset(ArrayDataset):
    """An `ArrayDataset` of images, in memory or in files.

    Args:
        images: `(num_examples, height, width, channels)` array or a list of such images, uint8 or float in
            [0, 255], or `ImageFiles` (also joined by `join_images`), which are read during training.
        labels: `(num_examples,)` integers, -1 for unlabeled, or None for no labels at all.
        batch_size: images a batch; the last batch may be smaller.
        shuffle: whether each epoch has a new order; False keeps the order of `images`.
        seed: non-negative integer that keys the order.
        drop_remainder: whether to leave out a last batch smaller than `batch_size`.
        epoch: the epoch to start with.
        num_classes: number of classes, to check the labels with.
        **kwargs: `with_indices` of `ArrayDataset`; `workers`, `use_multiprocessing`, `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        images: the images, in their own order; the `inputs` of an `ArrayDataset`.
        resize: how `kerassl.data.load` brought the images to their size, in words, or `None`.
        value_range: the values of 16-bit, 32-bit and float gray files that became 0 and 255, or `None`.

    Raises:
        ValueError: images that are not finite numbers of rank 4, labels that `validate_batch` refuses, or a
            bad `batch_size`, `seed` or `epoch`.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import ImageDataset
        >>> data = ImageDataset(np.zeros((10, 8, 8, 1), "uint8"), np.arange(10), batch_size=4)
        >>> data
        ImageDataset(10 images of (8, 8, 1) uint8, 10 classes, batch_size=4)
        >>> images, labels = data[2]
        >>> len(data), images.shape, labels.tolist()
        (3, (2, 8, 8, 1), [8, 9])
    """

    noun = "images"

    def __init__(
        self,
        images: np.ndarray | LazyImages,
        labels: np.ndarray | None = None,
        batch_size: int = 256,
        shuffle: bool = False,
        seed: int = 0,
        drop_remainder: bool = False,
        epoch: int = 0,
        num_classes: int | None = None,
        **kwargs,
    ) -> None:
        if isinstance(images, tuple):
            images = list(images)
        super().__init__(
            images, labels, batch_size, shuffle, seed, drop_remainder, epoch, num_classes, **kwargs
        )
        self.resize = self.value_range = None

    @property
    def images(self) -> np.ndarray | LazyImages:
        """The images, in their own order."""
        return self.inputs

    def check(
        self, inputs: np.ndarray | LazyImages, labels: np.ndarray | None, num_classes: int | None
    ) -> None:
        """Raises `ValueError` for images or labels that cannot be trained on; files are not read."""
        if not isinstance(inputs, LazyImages):
            OfAnyScale().check(inputs)
        validate_labels(labels, len(inputs), num_classes, "images")
