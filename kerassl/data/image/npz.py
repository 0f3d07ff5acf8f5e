"""Images from one `.npz` file: plain arrays, or an archive of JPEG files."""

import difflib
import pathlib

import numpy as np

from kerassl.data.image.decode import decode_all
from kerassl.data.image.image_files import read_headers
from kerassl.data.split import Arrays, split_arrays
from kerassl.data.validation import validate_labels

_LAYOUTS = (
    "x_train, x_test (with y_train, y_test), images (with labels), "
    "or jpeg_bytes, offsets, labels, is_test, class_names"
)


def load_npz(
    path: str,
    image_size: tuple[int, int] | None,
    test_fraction: float,
    limit_train: int | None,
    limit_test: int | None,
    value_range: tuple[float, float] | None = None,
) -> Arrays:
    """Returns the images of an `.npz` file in one of three layouts.

    * `x_train`, `x_test`, and `y_train`, `y_test` where there are labels;
    * `images`, and `labels` where there are some: split by `test_fraction`;
    * `jpeg_bytes` (uint8, all encoded files one after another), `offsets` (file i is
      `jpeg_bytes[offsets[i]:offsets[i + 1]]`), and optionally `labels`, `is_test` (1 for the test part)
      and `class_names`.

    `class_names` is read in each layout. Labels are integers, names of classes, or one-hot rows.

    Args:
        path: the file.
        image_size: (height, width) to bring the images of an archive to, or None to keep their size.
        test_fraction: share for the test part where the file names none.
        limit_train: decode at most the first so many training images of an archive.
        limit_test: decode at most the first so many test images of an archive.
        value_range: as in `kerassl.data.load`.

    Raises:
        ValueError: no such file, not an `.npz` file, missing arrays, arrays that do not fit together.
    """
    file_path = pathlib.Path(path).expanduser()
    if not file_path.is_file():
        raise ValueError(f'There is no file {path!r}. Pass "npz:" and the path of an .npz file.')
    try:
        with np.load(file_path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    # A damaged archive ends in any error: of zipfile, of zlib, of the reader of array headers.
    except Exception as error:
        raise ValueError(f"{path!r} is not a readable .npz file of plain arrays: {error}") from error
    names = arrays.get("class_names")
    class_names = None if names is None else tuple(str(name) for name in names)
    class_names = _index_labels(arrays, path, class_names)
    if "jpeg_bytes" in arrays:
        return _load_archive(
            arrays, path, image_size, test_fraction, limit_train, limit_test, class_names, value_range
        )
    if "x_train" in arrays:
        images, labels = arrays["x_train"], arrays.get("y_train")
        test_images, test_labels = arrays.get("x_test"), arrays.get("y_test")
    elif "images" in arrays:
        images, labels = arrays["images"], arrays.get("labels")
        test_images = test_labels = None
    else:
        near = [
            f"{key} -> {match[0]}"
            for key in arrays
            if (match := difflib.get_close_matches(key, ("x_train", "images", "jpeg_bytes"), n=1))
        ]
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"{path!r} holds {', '.join(arrays) or 'nothing'}; needed: {_LAYOUTS}.{hint}")
    if (labels is None) != (test_labels is None) and test_images is not None:
        raise ValueError(f"{path!r} labels one of x_train and x_test only: add both or neither.")
    for kind, part, part_labels in (("training", images, labels), ("test", test_images, test_labels)):
        if part is not None and part.ndim != 4:
            raise ValueError(
                f"The {kind} images of {path!r} have shape {part.shape}, but (number, height, width, "
                "channels) is needed. Save gray images as images[..., None]."
            )
        if part_labels is not None and len(part_labels) != len(part):
            raise ValueError(f"{path!r} has {len(part)} {kind} images but {len(part_labels)} labels.")
    if test_images is None:
        return split_arrays(images, labels, test_fraction, class_names)
    return Arrays(images, labels, test_images, test_labels, class_names)


def _index_labels(
    arrays: dict[str, np.ndarray], path: str, class_names: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Makes class indices of the labels in `arrays`, where they can be told; returns the names of classes."""
    keys = [key for key in ("y_train", "y_test", "labels") if key in arrays]
    for key in keys:
        labels = arrays[key]
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        elif labels.ndim == 2 and labels.dtype.kind in "uifb":
            ones = labels == 1
            if not ((ones | (labels == 0)).all() and (ones.sum(1) == 1).all()):
                raise ValueError(
                    f"{key} of {path!r} has shape {labels.shape} and is not one-hot (a single 1 in each row, "
                    "else 0). One class for each image is needed: an integer, a name or a one-hot row."
                )
            labels = labels.argmax(1)
        arrays[key] = labels
    named = [key for key in keys if arrays[key].dtype.kind in "US"]
    if not named:
        return class_names
    if len(named) < len([key for key in keys if key != "labels"]):
        raise ValueError(
            f"{path!r} names the classes in {named[0]} only: use names in both parts or neither."
        )
    for key in named:
        arrays[key] = arrays[key].astype(str)
    found = np.unique(np.concatenate([arrays[key].reshape(-1) for key in named]))
    class_names = class_names or tuple(str(name) for name in found)
    unknown = sorted(set(found.tolist()) - set(class_names))
    if unknown:
        raise ValueError(f"{path!r} has labels that are not among class_names: {', '.join(unknown[:5])}.")
    place = {name: index for index, name in enumerate(class_names)}
    for key in named:
        arrays[key] = np.array([place[name] for name in arrays[key].reshape(-1).tolist()], "int64")
    return class_names


def _load_archive(
    arrays: dict[str, np.ndarray],
    path: str,
    image_size: tuple[int, int] | None,
    test_fraction: float,
    limit_train: int | None,
    limit_test: int | None,
    class_names: tuple[str, ...] | None,
    value_range: tuple[float, float] | None,
) -> Arrays:
    if "offsets" not in arrays:
        raise ValueError(f"{path!r} has jpeg_bytes but no offsets. Needed: {_LAYOUTS}.")
    data, offsets, labels = arrays["jpeg_bytes"], arrays["offsets"], arrays.get("labels")
    num_examples = len(offsets) - 1
    if num_examples < 1 or offsets[0] != 0 or offsets[-1] != len(data) or (np.diff(offsets) <= 0).any():
        raise ValueError(
            f"The offsets of {path!r} must grow from 0 to the {len(data)} of jpeg_bytes, one more than files."
        )
    for key in ("labels", "is_test"):
        if key in arrays and arrays[key].shape != (num_examples,):
            raise ValueError(
                f"{path!r} has {num_examples} files but {key} of shape {arrays[key].shape}; "
                f"({num_examples},) is needed."
            )
    if labels is not None:
        validate_labels(labels, num_examples)
        labels = labels.astype("int64")
    if "is_test" in arrays:
        train, test = np.flatnonzero(arrays["is_test"] == 0), np.flatnonzero(arrays["is_test"])
        if not len(train):
            raise ValueError(f"is_test of {path!r} leaves no training image.")
    else:
        split = split_arrays(np.arange(num_examples), labels, test_fraction)
        train = split.train_images
        test = np.zeros(0, "int64") if split.test_images is None else split.test_images
    train, test = train[:limit_train], test[:limit_test]
    wanted = np.concatenate([train, test])
    files = [data[offsets[i] : offsets[i + 1]].tobytes() for i in wanted]
    names = [f"file {i} of {path!r}" for i in wanted]
    headers = read_headers(files, names, value_range)
    sound = np.flatnonzero(headers.kept)
    images, kept = decode_all(
        [files[i] for i in sound],
        [names[i] for i in sound],
        image_size,
        headers.channels,
        headers.value_range,
    )
    sound = sound[kept]
    train, test = wanted[sound[sound < len(train)]], wanted[sound[sound >= len(train)]]
    return Arrays(
        images[: len(train)],
        None if labels is None else labels[train],
        images[len(train) :] if len(test) else None,
        labels[test] if labels is not None and len(test) else None,
        class_names,
        None if labels is None else int(labels.max()) + 1,
        headers.value_range,
    )
