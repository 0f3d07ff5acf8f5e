"""Images in memory or in files, in an order that is a pure function of (seed, epoch, index)."""

import keras
import numpy as np

from kerassl.batch import with_sample_index
from kerassl.data.image_files import LazyImages
from kerassl.data.validation import validate_batch, validate_labels


class ImageDataset(keras.utils.PyDataset):
    """Batches of images in memory or in files, reshuffled each epoch in an order that a resumed run repeats.

    The order of epoch e is `np.random.default_rng([seed, e]).permutation(num_examples)`: it depends on
    nothing else, so setting `epoch` is all that an exact resume needs. Keras advances the epoch at the
    end of each pass of `fit`, `evaluate` or `predict`. `SSLModel.fit` leaves the order alone; a plain
    `keras.Model.fit` permutes the batches once more from Python's own random state unless it is called
    with `shuffle=False`.

    Args:
        images: `(num_examples, height, width, channels)` array, uint8 or float in [0, 255], or `ImageFiles`
            (and what `join_images` makes of them), which are read while training goes on.
        labels: `(num_examples,)` integer array, -1 for unlabelled, or None for no labels at all.
        batch_size: images a batch; the last batch may be smaller.
        shuffle: whether each epoch has a new order; False keeps the order of `images`.
        seed: non-negative integer that keys the order.
        drop_remainder: whether to leave out a last batch smaller than `batch_size`.
        epoch: the epoch to start with.
        num_classes: number of classes, to check the labels with.
        with_indices: whether a batch holds `{"inputs": images, "sample_index": indices}` in place of images,
            int32 positions in the order of `images`, for methods that remember each image.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Attributes:
        images: the images, in their own order.
        labels: the labels as int32, in the order of `images`, or None.
        num_examples: number of images.
        examples_per_epoch: images that an epoch shows: all, where a subclass does not choose.
        batch_size: images a batch.
        epoch: the epoch whose order is in use; may be set.
        with_indices: whether batches hold indices, too; may be set.
        resize: how `kerassl.data.load` brought the images to their size, in words, or `None`.
        share: `(index, count)`: of the `count` equal parts of each batch, the one that this process gives.

    Raises:
        ValueError: images or labels that `validate_batch` refuses, or a bad `batch_size`, `seed` or `epoch`.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import ImageDataset
        >>> data = ImageDataset(np.zeros((10, 8, 8, 1), "uint8"), np.arange(10), batch_size=4)
        >>> images, labels = data[2]
        >>> len(data), images.shape, labels.tolist()
        (3, (2, 8, 8, 1), [8, 9])
    """

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
        with_indices: bool = False,
        **kwargs,
    ) -> None:
        lazy = isinstance(images, LazyImages)
        # With two workers Keras reads ahead, with one it does not.
        super().__init__(**{"workers": 2, **kwargs} if lazy else kwargs)
        images = images if lazy else np.asarray(images)
        labels = None if labels is None else np.asarray(labels)
        if lazy:
            validate_labels(labels, len(images), num_classes)
        else:
            validate_batch(images, labels, num_classes)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, but {batch_size} came.")
        if seed < 0 or epoch < 0:
            raise ValueError(f"seed and epoch must be at least 0, but seed={seed} and epoch={epoch} came.")
        if drop_remainder and len(images) < batch_size:
            raise ValueError(
                f"drop_remainder=True leaves no batch of {batch_size} from {len(images)} images. "
                f"Pass batch_size={len(images)} or less, or drop_remainder=False."
            )
        self.images = images
        self.labels = None if labels is None else labels.astype("int32")
        self.num_examples = self.examples_per_epoch = len(images)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self.epoch = epoch
        self.with_indices = with_indices
        self.share = (0, 1)
        self.resize = None
        self._passing = False
        self._cached_order = None

    def order(self, epoch: int | None = None) -> np.ndarray:
        """Returns the `(examples_per_epoch,)` indices of an epoch in the order in which they come.

        Args:
            epoch: the epoch, by default the current one.
        """
        epoch = self.epoch if epoch is None else epoch
        if not self.shuffle:
            return np.arange(self.num_examples)
        cached = self._cached_order  # read once: loader threads may replace it
        if cached is None or cached[0] != epoch:
            cached = (epoch, self.draw_order(np.random.default_rng([self.seed, epoch])))
            self._cached_order = cached
        return cached[1]

    def draw_order(self, rng: np.random.Generator) -> np.ndarray:
        """Returns the `(examples_per_epoch,)` indices of an epoch whose generator is `rng`."""
        return rng.permutation(self.num_examples)

    def __len__(self) -> int:
        full, rest = divmod(self.examples_per_epoch, self.batch_size)
        return full + (rest > 0 and not self.drop_remainder)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Returns batch `index` of the current epoch: `(images, labels)`, or `(images,)` without labels."""
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of a dataset of {len(self)} batches.")
        start, stop = index * self.batch_size, min((index + 1) * self.batch_size, self.examples_per_epoch)
        if self.share[1] > 1:
            part = (stop - start) // self.share[1]
            start, stop = start + self.share[0] * part, start + (self.share[0] + 1) * part
        batch = slice(start, stop)
        if self.shuffle:
            batch = self.order()[batch]
        images = self.images[batch]
        if self.with_indices:
            images = with_sample_index(images, np.arange(self.num_examples, dtype="int32")[batch])
        return (images,) if self.labels is None else (images, self.labels[batch])

    def on_epoch_begin(self) -> None:
        """Notes that a pass has begun."""
        self._passing = True

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch's order at the end of a pass."""
        # Keras also ends an epoch that never began, when it resets its iterator at the start of `fit`.
        self.epoch += self._passing
        self._passing = False
