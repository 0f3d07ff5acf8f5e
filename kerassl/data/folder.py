"""Images from a folder: class subfolders, or a flat folder without labels."""

import pathlib

import numpy as np

from kerassl.data import split
from kerassl.data.image_files import ImageFiles, readable

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_DEFAULT_SIZE = (224, 224)


def load_folder(
    directory: str,
    image_size: tuple[int, int] | None,
    test_fraction: float,
    limit_train: int | None,
    limit_test: int | None,
) -> split.Arrays:
    """Returns the images below a folder: in memory where they fit, else `ImageFiles`.

    * `DIR/CLASS/*.jpg`: one class a subfolder, in sorted order; loose images beside them get label -1;
    * `DIR/*.jpg`: no labels;
    * `DIR/train/...` and `DIR/test/...` (or `val`), each in one of the two forms above: the parts as named.

    Args:
        directory: the folder.
        image_size: (height, width) to resize and crop to. By default the images' own size where it is
            the same for all, else 224x224.
        test_fraction: share for the test part where the folder names none.
        limit_train: decode at most the first so many training images.
        limit_test: decode at most the first so many test images.

    Raises:
        ValueError: no such folder, or no image in it that can be read; of others, a warning says how many.
    """
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f'There is no folder {directory!r}. Pass "folder:" and the path of a folder.')
    test_root = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if test_root is not None and (root / "train").is_dir():
        train_files, train_labels, class_names = _list_images(root / "train")
        test_files, test_labels, test_names = _list_images(test_root)
        if class_names != test_names:
            odd = sorted(set(class_names or ()) ^ set(test_names or ()))
            raise ValueError(
                f"{str(root / 'train')!r} and {str(test_root)!r} must have the same class subfolders; only "
                f"one of them has {', '.join(odd)}."
            )
        order = np.random.default_rng(0).permutation(len(train_files))
        train_files = [train_files[i] for i in order]
        train_labels = None if train_labels is None else train_labels[order]
        order = np.random.default_rng(0).permutation(len(test_files))
        test_files = [test_files[i] for i in order]
        test_labels = None if test_labels is None else test_labels[order]
    else:
        files, labels, class_names = _list_images(root)
        parts = split.split_arrays(np.array(files, object), labels, test_fraction)
        train_files, train_labels = list(parts.train_images), parts.train_labels
        test_files = [] if parts.test_images is None else list(parts.test_images)
        test_labels = parts.test_labels
    train_files, test_files = train_files[:limit_train], test_files[:limit_test]
    kept, sizes, channels = readable(train_files + test_files)
    if image_size is None:
        image_size = sizes.pop() if len(sizes) == 1 else _DEFAULT_SIZE
    number = len(train_files)
    train = ImageFiles(np.array(train_files, object)[kept[:number]], image_size, channels)
    test = ImageFiles(np.array(test_files, object)[kept[number:]], image_size, channels)
    train_labels = None if train_labels is None else train_labels[:limit_train][kept[:number]]
    test_labels = None if test_labels is None else test_labels[:limit_test][kept[number:]]
    if train.nbytes + test.nbytes <= split.MAX_BYTES_IN_MEMORY:
        train, train_labels = _in_memory(train, train_labels)
        test, test_labels = _in_memory(test, test_labels)
    return split.Arrays(train, train_labels, test if len(test) else None, test_labels, class_names)


def _in_memory(images: ImageFiles, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    decoded, kept = images.whole()
    return decoded, None if labels is None else labels[kept]


def list_images(directory: str | pathlib.Path) -> tuple[list[pathlib.Path], np.ndarray | None, tuple | None]:
    """Returns all image files below a folder, of its train, test and val parts if it has them, by path.

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
    names = ("train", "test", "val") if (root / "train").is_dir() else (".",)
    parts = [_list_images(root / name) for name in names if (root / name).is_dir()]
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
    def below(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
        return sorted(
            path
            for path in folder.glob(pattern)
            if path.suffix.lower() in SUFFIXES
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(root).parts)
        )

    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    classes = {folder.name: found for folder in folders if (found := below(folder, "**/*"))}
    loose = below(root, "*")
    files = [file for found in classes.values() for file in found] + loose
    if not files:
        raise ValueError(
            f"There is no image in {str(root)!r}. Needed: files ending in {', '.join(sorted(SUFFIXES))}, "
            "in it or in one subfolder a class."
        )
    if not classes:
        return files, None, None
    labels = [index for index, found in enumerate(classes.values()) for _ in found] + [-1] * len(loose)
    return files, np.array(labels, "int64"), tuple(classes)
