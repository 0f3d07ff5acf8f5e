"""Images from a folder: class subfolders, or a flat folder without labels."""

import collections
import os
import pathlib
import warnings
from collections.abc import Iterable

import numpy as np

from kerassl.data import split
from kerassl.data.image.image_files import ImageFiles, read_headers

SUFFIXES = {
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
}
# How files begin that `SUFFIXES` are for, to tell images among files without a suffix.
_SIGNATURES = (b"BM", b"GIF8", b"\xff\xd8\xff", b"P5", b"P6", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF")
_DEFAULT_SIZE = (224, 224)
_TRAIN = ("train", "training")
# The first that there is, is the test part.
_HELD_OUT = ("test", "testing", "val", "valid", "validation")


def load_folder(
    directory: str,
    image_size: tuple[int, int] | None,
    test_fraction: float,
    limit_train: int | None,
    limit_test: int | None,
    value_range: tuple[float, float] | None = None,
) -> split.Arrays:
    """Returns the images below a folder: in memory where they fit, else `ImageFiles`.

    * `DIR/CLASS/*.jpg`: one class per subfolder, in sorted order; loose images next to them get label -1;
    * `DIR/*.jpg`: no labels;
    * `DIR/train/...` and `DIR/test/...`, each in one of the two forms above: the parts as named. In any case
      of letters `train` may be `training`; the test part is `test` or `testing`, else `val`, `valid` or
      `validation`, which is left out, with a warning, where there is a `test`. Without any of these the test
      part is split off `train`.

    Args:
        directory: the folder.
        image_size: (height, width) to resize and crop to. By default the images' own size where it is
            the same for all, else 224x224.
        test_fraction: share for the test part where the folder names none.
        limit_train: decode at most the first so many training images.
        limit_test: decode at most the first so many test images.
        value_range: as in `kerassl.data.load`.

    Raises:
        ValueError: no such folder, no image in it that can be read (of others, a warning says how many), or
            class folders next to the folders of parts.
    """
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f'There is no folder {directory!r}. Pass "folder:" and the path of a folder.')
    parts = _find_parts(root)
    train_root = next((folder for name, folder in parts.items() if name in _TRAIN), root)
    held_out = [parts[name] for name in _HELD_OUT if name in parts]
    if parts and train_root == root:
        raise ValueError(
            f"{str(root)!r} has {_names(held_out)} but no folder 'train'. Add one, or load "
            f'"folder:{held_out[0]}" to read these images.'
        )
    if len(held_out) > 1:
        warnings.warn(
            f"{str(root)!r} has {_names(held_out)}: {held_out[0].name!r} is the test part; the images of "
            f"{_names(held_out[1:])} are left out.",
            stacklevel=2,
        )
    train_files, train_labels, class_names = _list_images(train_root)
    if held_out:
        test_files, test_labels, test_names = _list_images(held_out[0])
        if class_names != test_names:
            odd = sorted(set(class_names or ()) ^ set(test_names or ()))
            raise ValueError(
                f"{str(train_root)!r} and {str(held_out[0])!r} must have the same class subfolders; only "
                f"one of them has {', '.join(odd)}."
            )
        train_files, train_labels = _mixed(train_files, train_labels)
        test_files, test_labels = _mixed(test_files, test_labels)
    else:
        arrays = split.split_arrays(np.array(train_files, object), train_labels, test_fraction)
        train_files, train_labels = list(arrays.train_images), arrays.train_labels
        test_files = [] if arrays.test_images is None else list(arrays.test_images)
        test_labels = arrays.test_labels
    train_files, test_files = train_files[:limit_train], test_files[:limit_test]
    headers = read_headers(
        train_files + test_files, [str(file) for file in train_files + test_files], value_range
    )
    if image_size is None:
        image_size = headers.sizes.pop() if len(headers.sizes) == 1 else _DEFAULT_SIZE

    def part(
        files: list, labels: np.ndarray | None, kept: np.ndarray
    ) -> tuple[ImageFiles, np.ndarray | None]:
        labels = None if labels is None else labels[: len(files)][kept]
        files = np.array(files, object)[kept]
        return ImageFiles(files, image_size, headers.channels, labels, headers.value_range), labels

    number = len(train_files)
    train, train_labels = part(train_files, train_labels, headers.kept[:number])
    test, test_labels = part(test_files, test_labels, headers.kept[number:])
    if train.nbytes + test.nbytes <= split.MAX_BYTES_IN_MEMORY:
        train, train_labels = _in_memory(train, train_labels)
        test, test_labels = _in_memory(test, test_labels)
    if not len(train):
        raise ValueError(f"None of the {number} training images of {str(root)!r} can be read.")
    return split.Arrays(
        train,
        train_labels,
        test if len(test) else None,
        test_labels,
        class_names,
        value_range=headers.value_range,
    )


def _find_parts(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders of the parts in a folder, by their names in small letters; none where it holds classes."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    parts = {}
    for folder in folders:
        name = folder.name.lower()
        if name in (*_TRAIN, *_HELD_OUT):
            if name in parts or name in _TRAIN and any(other in parts for other in _TRAIN):
                raise ValueError(
                    f"Two folders of {str(root)!r} name the same part: {folder.name!r} and another."
                )
            parts[name] = folder
    if not parts:
        return parts
    others = [folder for folder in folders if folder not in parts.values() and _files_below(folder)[0]]
    if others:
        raise ValueError(
            f"{str(root)!r} mixes folders of parts ({_names(parts.values())}) and of classes "
            f"({_names(others[:3])}{', ...' if len(others) > 3 else ''}). Move the classes into the parts; "
            f"if {next(iter(parts.values())).name!r} is a class too, rename it."
        )
    loose, _ = _files_below(root, deep=False)
    if loose:
        warnings.warn(
            f"{len(loose)} images next to the parts of {str(root)!r} are left out, e.g. {loose[0].name!r}.",
            stacklevel=2,
        )
    return parts


def _names(folders: Iterable[pathlib.Path]):
    return ", ".join(repr(folder.name) for folder in folders)


def _mixed(files: list, labels: np.ndarray | None):
    order = np.random.default_rng(0).permutation(len(files))
    return [files[index] for index in order], None if labels is None else labels[order]


def _in_memory(images: ImageFiles, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    decoded, kept = images.whole()
    return decoded, None if labels is None else labels[kept]


def list_images(directory: str | pathlib.Path) -> tuple[list[pathlib.Path], np.ndarray | None, tuple | None]:
    """Returns all image files below a folder, of all its parts (train, test, val) if it has them, by path.

    Args:
        directory: the folder.

    Returns:
        The paths in order; int64 `(number,)` labels by the class subfolders, -1 for images in none, and the
        classes' names; `None` for both where there is no class subfolder.

    Raises:
        ValueError: no such folder, or no image in it.

    Example:
        >>> import pathlib, tempfile
        >>> from kerassl.data import list_images
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("cat", "dog"):
        ...         pathlib.Path(folder, name).mkdir()
        ...         pathlib.Path(folder, name, "1.png").touch()
        ...     files, labels, class_names = list_images(folder)
        >>> [file.name for file in files], labels.tolist(), class_names
        (['1.png', '1.png'], [0, 1], ('cat', 'dog'))
    """
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f"There is no folder {str(directory)!r}.")
    parts = [_list_images(folder) for folder in _find_parts(root).values() or (root,)]
    class_names = sorted({name for _, _, of_part in parts for name in of_part or ()})
    found = []
    for files, labels, of_part in parts:
        for index, file in enumerate(files):
            label = -1 if labels is None or labels[index] < 0 else class_names.index(of_part[labels[index]])
            found.append((file.relative_to(root).as_posix(), file, label))
    found.sort(key=lambda entry: entry[0])
    files = [file for _, file, _ in found]
    if not class_names:
        return files, None, None
    return files, np.array([label for *_, label in found], "int64"), tuple(class_names)


def _list_images(
    root: pathlib.Path,
) -> tuple[list[pathlib.Path], np.ndarray | None, tuple[str, ...] | None]:
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    loose, unread = _files_below(root, deep=False)
    classes = {}
    for folder in folders:
        found, others = _files_below(folder)
        unread += others
        if found:
            classes[folder.name] = found
    files = [file for found in classes.values() for file in found] + loose
    if not files:
        raise ValueError(
            f"There is no image in {str(root)!r}. Needed: files ending in {', '.join(sorted(SUFFIXES))}, "
            "in it or in one subfolder a class."
        )
    if unread:
        kinds = collections.Counter(path.suffix.lower() or "no suffix" for path in unread)
        warnings.warn(
            f"{len(unread)} files below {str(root)!r} are not read, as they are no images by their names: "
            f"{', '.join(f'{count} {kind}' for kind, count in kinds.most_common(5))}; e.g. {unread[0]}.",
            stacklevel=2,
        )
    if not classes:
        return files, None, None
    labels = [index for index, found in enumerate(classes.values()) for _ in found] + [-1] * len(loose)
    return files, np.array(labels, "int64"), tuple(classes)


def _files_below(folder: pathlib.Path, deep: bool = True) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """The image files of a folder, sorted, and its other files; linked folders are followed, once each."""
    images, others, seen = [], [], set()
    for place, names, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        inside = (name for name in names if os.path.realpath(os.path.join(place, name)) not in seen)
        names[:] = sorted(name for name in inside if deep and not name.startswith("."))
        for path in (pathlib.Path(place, file) for file in files if not file.startswith(".")):
            (images if path.is_file() and _is_image(path) else others).append(path)
    return sorted(images), sorted(others)


def _is_image(path: pathlib.Path):
    if path.suffix:
        return path.suffix.lower() in SUFFIXES
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_SIGNATURES)
    except OSError:
        return False
