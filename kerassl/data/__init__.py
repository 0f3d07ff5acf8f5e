"""A name to a data set; images in a repeatable order; checks of images and labels."""

from kerassl.data.decode import decode_image
from kerassl.data.devices import check_divides, cut_for_devices
from kerassl.data.episodes import Episodes
from kerassl.data.fingerprint import fingerprint
from kerassl.data.folder import list_images
from kerassl.data.guided_batches import GuidedBatches
from kerassl.data.image_dataset import ImageDataset
from kerassl.data.image_files import ImageFiles, LazyImages, join_images
from kerassl.data.in_memory import can_hold, hold, with_positions
from kerassl.data.inspect import check_data, is_array, num_batches, split_positions
from kerassl.data.label_subset import label_subset
from kerassl.data.labelled import labelled_batches
from kerassl.data.load import DatasetInfo, load
from kerassl.data.masks import load_masks
from kerassl.data.positions import batches_with_positions
from kerassl.data.validation import validate_batch
from kerassl.data.within_epoch import (
    FixedLengthEpochs,
    OrderedBatches,
    can_skip_batches,
    in_epochs_of,
    skip_batches,
)

__all__ = [
    "DatasetInfo",
    "Episodes",
    "FixedLengthEpochs",
    "GuidedBatches",
    "ImageDataset",
    "ImageFiles",
    "LazyImages",
    "OrderedBatches",
    "batches_with_positions",
    "can_hold",
    "can_skip_batches",
    "check_data",
    "check_divides",
    "cut_for_devices",
    "decode_image",
    "fingerprint",
    "hold",
    "in_epochs_of",
    "is_array",
    "join_images",
    "label_subset",
    "labelled_batches",
    "list_images",
    "load",
    "load_masks",
    "num_batches",
    "skip_batches",
    "split_positions",
    "validate_batch",
    "with_positions",
]
