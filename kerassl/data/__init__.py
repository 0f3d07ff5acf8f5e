"""A name to a data set; images in a repeatable order; checks of images and labels."""

from kerassl.batch import Batch, unpack_batch, with_sample_index
from kerassl.data.array_dataset import ArrayDataset
from kerassl.data.checked_batches import checked_batches
from kerassl.data.devices import check_divides, shard_for_devices
from kerassl.data.episodes import Episodes
from kerassl.data.fingerprint import fingerprint
from kerassl.data.guided_batches import GuidedBatches
from kerassl.data.image.decode import decode_image
from kerassl.data.image.folder import list_images
from kerassl.data.image.image_dataset import ImageDataset
from kerassl.data.image.image_files import ImageFiles, find_value_range
from kerassl.data.image.segmentation_masks import load_masks
from kerassl.data.in_memory import as_dataset, with_indices
from kerassl.data.inspect import holds_arrays, is_array, num_batches
from kerassl.data.label_subset import label_subset
from kerassl.data.labeled import labeled_batches
from kerassl.data.lazy_images import LazyImages, join_images
from kerassl.data.load import DatasetInfo, load
from kerassl.data.sample_index import batches_with_indices
from kerassl.data.validation import validate_batch
from kerassl.data.within_epoch import (
    FixedLengthEpochs,
    OrderedBatches,
    can_skip_batches,
    in_epochs_of,
    skip_batches,
)

__all__ = [
    "ArrayDataset",
    "Batch",
    "DatasetInfo",
    "Episodes",
    "FixedLengthEpochs",
    "GuidedBatches",
    "ImageDataset",
    "ImageFiles",
    "LazyImages",
    "OrderedBatches",
    "batches_with_indices",
    "can_skip_batches",
    "checked_batches",
    "check_divides",
    "shard_for_devices",
    "decode_image",
    "fingerprint",
    "in_epochs_of",
    "as_dataset",
    "find_value_range",
    "holds_arrays",
    "is_array",
    "join_images",
    "label_subset",
    "labeled_batches",
    "list_images",
    "load",
    "load_masks",
    "num_batches",
    "skip_batches",
    "unpack_batch",
    "validate_batch",
    "with_indices",
    "with_sample_index",
]


def __dir__() -> list[str]:
    return sorted(__all__)
