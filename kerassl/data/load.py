"""A name to a data set."""

import dataclasses
import difflib
import pathlib
from typing import Any

import numpy as np

from kerassl.data.image.decode import resize_and_crop_all
from kerassl.data.image.digits import load_digits
from kerassl.data.image.folder import load_folder
from kerassl.data.image.image_dataset import ImageDataset
from kerassl.data.image.image_files import ImageFiles
from kerassl.data.image.npz import load_npz
from kerassl.data.split import Arrays
from kerassl.data.tensorflow_datasets import TFDSSource
from kerassl.data.validation import validate_labels

# The preprocessing of `resize_and_crop`, also for TFDS images.
RESIZE = "shorter side, center crop, antialiased bilinear"
_NAMES = ("digits", "folder:", "npz:", "tfds:")
# Those of TensorFlow Datasets that are asked for by their bare names.
_TFDS = (
    *("caltech101", "cars196", "cifar10", "cifar100", "dtd", "emnist", "eurosat", "fashion_mnist", "food101"),
    *("imagenet2012", "imagenette", "imagewoof", "mnist", "oxford_flowers102", "oxford_iiit_pet", "stl10"),
    *("svhn_cropped", "tf_flowers"),
)


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set.

    Attributes:
        name: the name that was loaded.
        image_shape: (height, width, channels).
        num_classes: number of classes, None if unlabeled.
        class_names: names in index order, None if unlabeled or unknown.
        num_train: number of training images.
        num_test: number of test images.
        value_range: the values of 16-bit, 32-bit and float gray files that became 0 and 255; None where there
            are no such files.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_classes: int | None
    class_names: tuple[str, ...] | None
    num_train: int
    num_test: int
    value_range: tuple[float, float] | None = None


def load(
    name: str,
    batch_size: int = 256,
    image_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    labels: bool = True,
    test_fraction: float = 0.2,
    limit_train: int | None = None,
    limit_test: int | None = None,
    shuffle: bool = True,
    drop_remainder: bool = False,
    data_dir: str | None = None,
    value_range: tuple[float, float] | None = None,
) -> tuple[Any, Any, DatasetInfo]:
    """Returns the training part, the test part and a description of a named data set.

    Names:

    * `digits`: scikit-learn's 1,797 gray 8x8 digits, without download;
    * `folder:DIR`: image files, one subfolder a class, or a flat folder without labels; `DIR/train` and
      `DIR/test` (or `val`, `valid`, `validation`; in any case of letters) of either form are the parts;
    * `npz:FILE`: arrays `x_train, y_train, x_test, y_test`, or `images, labels`, or an archive of JPEG files
      `jpeg_bytes, offsets, labels, is_test, class_names`;
    * `tfds:NAME`, `tfds:NAME/config:version`: any image data set of TensorFlow Datasets.

    Where the source names no test part, one is split off class by class, the same one at every call and
    for every seed.

    Args:
        name: name of the data set, as above.
        batch_size: images a batch.
        image_size: side or (height, width) to resize (shorter side) and center-crop the images to. By
            default images keep their size; those of a folder with several sizes become 224x224.
        seed: keys the order of the training images.
        labels: whether to give labels where there are some.
        test_fraction: share of the examples for the test part where the source names none, in [0, 1).
        limit_train: keep the first so many training images only; no others are decoded.
        limit_test: keep the first so many test images only; no others are decoded.
        shuffle: whether training images come in a new order each epoch; test images never do.
        drop_remainder: whether the training part leaves out a last batch smaller than `batch_size`.
        data_dir: where TFDS keeps its data; for `tfds:` names only.
        value_range: (black, white), the values of 16-bit, 32-bit and float gray files that become 0 and 255;
            by default the rule of `find_value_range` over both parts, of which a warning tells. Images are
            float32 where there is such a file. An encoder needs the same values wherever it is used.

    Returns:
        `(train, test, info)`: two `ImageDataset`s and a `DatasetInfo`. `test` is None where there are no
        test images. A folder of more than 2 GiB decoded is read file by file, each time an image is needed;
        a `tfds:` data set of that size comes as two `tf.data.Dataset`s.

    Raises:
        ValueError: an unknown name, a missing or empty source, arrays that do not fit. (Broken files of a
            folder or an archive are left out with a warning.)
        ImportError: the package that reads the source is missing.

    Example:
        >>> import kerassl.data
        >>> train, test, info = kerassl.data.load("digits", batch_size=100)
        >>> info.image_shape, info.num_classes, info.num_train, info.num_test
        ((8, 8, 1), 10, 1438, 359)
    """
    size = _pair(image_size)
    for option, limit in (("limit_train", limit_train), ("limit_test", limit_test)):
        if limit is not None and limit < 1:
            raise ValueError(f"{option} must be at least 1 or None; got {limit}.")
    if not isinstance(name, str):
        raise ValueError(
            f'The name of a data set must be text, e.g. "digits" or "folder:photos/"; got {name!r}.'
        )
    kind, _, source = name.partition(":")
    if data_dir is not None and kind != "tfds":
        raise ValueError(f'data_dir is for "tfds:" names only; got it with {name!r}.')
    if value_range is not None and kind not in ("folder", "npz"):
        raise ValueError(f"value_range is for image files; got it with {name!r}.")
    if name == "digits":
        arrays = load_digits(test_fraction)
    elif kind == "folder" and source:
        arrays = load_folder(source, size, test_fraction, limit_train, limit_test, value_range)
    elif kind == "npz" and source:
        arrays = load_npz(source, size, test_fraction, limit_train, limit_test, value_range)
    elif kind == "tfds" and source:
        tfds = TFDSSource(source, data_dir, size, test_fraction, limit_train, limit_test)
        if not tfds.fits_in_memory:
            labeled = labels and tfds.has_labels
            info = DatasetInfo(
                name=name,
                image_shape=tfds.image_shape,
                num_classes=tfds.num_classes if labeled else None,
                class_names=tfds.class_names if labeled else None,
                num_train=tfds.num_train,
                num_test=tfds.num_test,
            )
            train = tfds.stream(True, batch_size, shuffle, seed, labels, drop_remainder)
            return train, tfds.stream(False, batch_size, False, seed, labels), info
        arrays = tfds.arrays()
    else:
        raise ValueError(_unknown_name(name))
    train, test, info = _from_arrays(
        arrays, name, size, batch_size, seed, labels, limit_train, limit_test, shuffle
    )
    if size is not None or kind == "folder":
        train.resize = RESIZE
    train.drop_remainder = drop_remainder and train.num_examples > batch_size
    return train, test, info


def _from_arrays(
    arrays: Arrays,
    name: str,
    size: tuple[int, int] | None,
    batch_size: int,
    seed: int,
    labels: bool,
    limit_train: int | None,
    limit_test: int | None,
    shuffle: bool,
) -> tuple[ImageDataset, ImageDataset | None, DatasetInfo]:
    images = _first(arrays.train_images, limit_train)
    test_images = None if arrays.test_images is None else _first(arrays.test_images, limit_test)
    train_labels = test_labels = class_names = num_classes = None
    if labels and arrays.train_labels is not None:
        train_labels, class_names = arrays.train_labels[:limit_train], arrays.class_names
        test_labels = None if test_images is None else arrays.test_labels[:limit_test]
        num_classes = arrays.num_classes if class_names is None else len(class_names)
        if num_classes is None:
            # Before the limits, so that a small sample does not lose a class.
            every = [part for part in (arrays.train_labels, arrays.test_labels) if part is not None]
            for part in every:
                validate_labels(part, len(part))
            num_classes = max(int(part.max()) for part in every) + 1 or None
    if size is not None:
        images = resize_and_crop_all(images, size)
        test_images = None if test_images is None else resize_and_crop_all(test_images, size)
    train = ImageDataset(images, train_labels, batch_size, shuffle, seed, num_classes=num_classes)
    test = None
    if test_images is not None:
        test = ImageDataset(test_images, test_labels, batch_size, num_classes=num_classes)
        if test.images.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"Training images have shape {images.shape[1:]} but test images {test.images.shape[1:]}. "
                "Pass image_size to bring both to one size."
            )
    num_test = 0 if test is None else test.num_examples
    info = DatasetInfo(
        name, images.shape[1:], num_classes, class_names, len(images), num_test, arrays.value_range
    )
    for part in (train, test):
        if part is not None:
            part.value_range = arrays.value_range
    return train, test, info


def _first(images: np.ndarray | ImageFiles, limit: int | None):
    # A slice of files would be read.
    return images if limit is None or len(images) <= limit else images[:limit]


def _pair(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    pair = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"image_size must be a side or (height, width) in pixels; got {image_size}.")
    return pair


def _unknown_name(name: str) -> str:
    kind, colon, source = name.partition(":")
    known = ", ".join(_NAMES)
    if kind in ("folder", "npz", "tfds"):
        return f'{name!r} names no source. Write e.g. "folder:photos/", "npz:file.npz" or "tfds:cifar10".'
    path = pathlib.Path(name).expanduser()
    near = difflib.get_close_matches(kind.lower() + colon, _NAMES, n=1, cutoff=0.5)
    of_tfds = difflib.get_close_matches(name.lower(), _TFDS, n=1, cutoff=0.75)
    meant = None
    if path.is_dir():
        meant = f"folder:{name}"
    elif path.is_file():
        meant = f"npz:{name}" if path.suffix == ".npz" else f"folder:{path.parent}"
    elif near:
        meant = near[0] + (source if near[0].endswith(":") else "")
    elif of_tfds:
        meant = f"tfds:{of_tfds[0]}"
    hint = f" Did you mean {meant!r}?" if meant else ""
    return f"There is no data set {name!r}; known: {known}.{hint}"
