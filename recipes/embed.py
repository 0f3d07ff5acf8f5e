"""Embeds every image of a folder or data set into one file.

    python -m recipes.embed --encoder=runs/byol --dataset=folder:photos/ --out=features.npz

Images come in the order of their paths. Files that cannot be read are skipped, counted and listed in the
output. A command that was interrupted goes on where it stopped.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from typing import Annotated

import keras
import numpy as np

import kerassl
from kerassl.arguments import PositiveInt

from . import command_line
from .bounds import Path, Verbosity, one_of
from .devices import devices
from .names import PRECISIONS
from .saved import encoder_file, load_encoder
from .workdir import write_text

SUFFIXES = (".npz", ".parquet")


@command_line.Launcher
def run(
    encoder: Path,
    dataset: str,
    out: Path,
    batch_size: PositiveInt = 256,
    image_size: PositiveInt | None = None,
    precision: Annotated[str, one_of(PRECISIONS)] = "float32",
    data_dir: Path | None = None,
    save_every: PositiveInt = 10_000,
    verbose: Verbosity = 1,
) -> pathlib.Path:
    """Embeds images and writes their features.

    Args:
        encoder: a .keras file or SavedModel from raw images to features, or the workdir of a finished run.
        dataset: folder:DIR, of which all images below DIR are taken, or digits, npz:FILE, tfds:NAME.
        out: file to write, ending in .npz or .parquet.
        batch_size: images at a time.
        image_size: side in pixels to which images are resized (shorter side) and cropped; by default what
            the encoder was trained on.
        precision: of the computation; a saved encoder keeps its own.
        data_dir: where TFDS keeps its data.
        save_every: images after which what is done is saved, for a command that is interrupted.
        verbose: 0 for no progress bar.

    Returns:
        The path written. An .npz file holds `features` (n, dim) float32, `paths`, `labels` (-1 for none),
        `class_names` and `skipped`; a .parquet file the columns path, label, class and features, and what was
        skipped in its metadata.

    Raises:
        ValueError: for another suffix, an encoder or data that are missing or do not fit, or a partial output
            of another command.
        ImportError: if pyarrow is missing for .parquet.
    """
    target = pathlib.Path(out).expanduser()
    if target.suffix not in SUFFIXES:
        raise ValueError(f"--out={out} must end in {' or '.join(SUFFIXES)}.")
    if target.suffix == ".parquet":
        parquet()
    if target.exists():
        raise ValueError(f"{target} is there already. Delete it, or choose another --out.")
    if not target.parent.is_dir():
        raise ValueError(f"--out={out}: there is no folder {target.parent}. Make it first.")
    file = pathlib.Path(encoder).expanduser()
    with devices(precision=precision):
        model = load_encoder(file)
        images = find_images(dataset, model, image_size, data_dir)
        settings = {
            "encoder": fingerprint(encoder_file(file)),
            "dataset": dataset,
            "images": hashlib.sha256("\n".join(images.marks).encode("utf-8", "surrogateescape")).hexdigest(),
            "image_size": list(images.size),
            "batch_size": batch_size,
            "precision": precision,
        }
        parts = Parts(target.with_name(target.name + ".partial"), settings)
        bar = keras.utils.Progbar(len(images), verbose=verbose, unit_name="image")
        if parts.done:
            print(f"Continuing at image {parts.done + 1} of {len(images)}.")
        for stop, features, skipped in embedded(model, images, parts.done, batch_size, save_every):
            bar.update(stop)
            if features is not None:
                parts.add(stop, features, skipped)
    features, skipped = parts.whole()
    missing = np.array(sorted(skipped), "int64")
    if len(features) + len(missing) != len(images):
        raise ValueError(
            f"{parts.folder} is damaged: it has {len(features)} features and {len(missing)} skipped images "
            f"of {len(images)}. Delete the folder, and repeat the command."
        )
    kept = np.setdiff1d(np.arange(len(images)), missing)
    listed = [f"{images.paths[i]}: {skipped[i]}" for i in missing]
    write(target, features, [images.paths[i] for i in kept], images.labels[kept], images.class_names, listed)
    parts.delete()
    print(f"\n{target}: {len(kept)} images, {features.shape[1]} features each; {len(listed)} skipped.")
    for line in listed[:10]:
        print(f"  {line}")
    if len(listed) > 10:
        print(f"  ... and {len(listed) - 10} more; all are listed in {target}.")
    return target


class Images:
    """Images in a fixed order, read when they are asked for.

    Attributes:
        paths: their names, relative to the folder.
        labels: int64, -1 for none.
        class_names: of the labels.
        size: (height, width) to which they are brought.
        marks: of each image a text that changes when it is replaced.
    """

    def __init__(
        self,
        paths: list[str],
        labels: np.ndarray | None,
        class_names: tuple[str, ...] | None,
        size: tuple[int, int],
        read: Callable[[int], np.ndarray],
        marks: list[str],
    ) -> None:
        self.paths, self.size, self.read, self.marks = paths, size, read, marks
        self.labels = np.full(len(paths), -1, "int64") if labels is None else labels.astype("int64")
        self.class_names = class_names or ()

    def __len__(self) -> int:
        return len(self.paths)


def find_images(dataset: str, model: keras.Model, image_size: int | None, data_dir: str | None) -> Images:
    """The images of a data set, sorted by their paths.

    Raises:
        ValueError: for a folder without images, or images of another number of channels.
    """
    height, width, channels = model.input_shape[1:]
    if image_size is not None:
        size = (image_size, image_size)
    else:
        known = kerassl.evaluation.training_preprocessing(model)
        size = (height, width) if known is None else known.images.size if known.images else known.size
    if dataset.startswith("folder:"):
        root = pathlib.Path(dataset.removeprefix("folder:")).expanduser()
        files, labels, class_names = kerassl.data.list_images(root)
        if None in size:
            raise ValueError("The encoder takes images of any size; say which with --image_size.")
        if channels not in (1, 3):
            raise ValueError(f"Image files have 1 or 3 channels; the encoder takes {channels}.")
        value_range = kerassl.data.find_value_range(files)
        paths = [file.relative_to(root).as_posix() for file in files]

        def read(index: int) -> np.ndarray:
            return kerassl.data.decode_image(files[index], shown[index], size, channels, value_range)

        shown, states = [as_text(path) for path in paths], [file.stat() for file in files]
        marks = [f"{path} {s.st_size} {s.st_mtime_ns}" for path, s in zip(paths, states, strict=True)]
        names = None if class_names is None else tuple(map(as_text, class_names))
        return Images(shown, labels, names, size, read, marks)
    train, test, info = kerassl.data.load(
        dataset, image_size=image_size, data_dir=data_dir, shuffle=False, batch_size=1
    )
    if info.image_shape[-1] != channels:
        raise ValueError(
            f"The encoder takes images of {channels} channels, those of {dataset} have "
            f"{info.image_shape[-1]}."
        )
    named = [(name, part) for name, part in (("train", train), ("test", test)) if part is not None]
    if not all(isinstance(part, kerassl.data.ImageDataset) for _, part in named):
        raise ValueError(f"{dataset} does not fit in memory; write its images to a folder.")
    paths = [f"{name}/{index}" for name, part in named for index in range(len(part.images))]
    images = np.concatenate([part.images for _, part in named])
    labels = None
    if all(part.labels is not None for _, part in named):
        labels = np.concatenate([part.labels for _, part in named])
    hashes = (hashlib.sha256(image.tobytes()).hexdigest() for image in images)
    marks = [f"{path} {found}" for path, found in zip(paths, hashes, strict=True)]
    return Images(paths, labels, info.class_names, info.image_shape[:2], images.__getitem__, marks)


def as_text(path: str) -> str:
    r"""A file's name as text: bytes of it that are no UTF-8 are written like \xe9.

    Example:
        >>> from recipes.embed import as_text
        >>> as_text(b"caf\xe9.png".decode("utf-8", "surrogateescape"))
        'caf\\xe9.png'
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def embedded(
    model: keras.Model, images: Images, first: int, batch_size: int, save_every: int
) -> Iterator[tuple[int, np.ndarray | None, dict[int, str]]]:
    """Embeds images from `first` on, reading the next batch while one is computed.

    Yields:
        After each batch the images done; with them, every `save_every` images and at the end, the features
        `(n, dim)` since the last time and the errors of what could not be read, by position; else `None`.
    """

    def read(position: int) -> np.ndarray | str:
        try:
            return images.read(position)
        except ValueError as error:
            return str(error)

    features, skipped = [], {}
    # An accelerator empties eight decoding cores.
    with concurrent.futures.ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:

        def ask(start: int) -> list:
            return [pool.submit(read, i) for i in range(start, min(start + batch_size, len(images)))]

        waiting, last = ask(first), first
        for start in range(first, len(images), batch_size):
            current, waiting = waiting, ask(start + batch_size)
            results = [future.result() for future in current]
            pixels = [result for result in results if not isinstance(result, str)]
            skipped |= {start + i: error for i, error in enumerate(results) if isinstance(error, str)}
            if pixels:
                # Always as many, so that nothing is compiled twice.
                batch = np.zeros((batch_size, *pixels[0].shape), pixels[0].dtype)
                batch[: len(pixels)] = pixels
                features.append(np.asarray(model.predict_on_batch(batch), "float32")[: len(pixels)])
            stop = min(start + batch_size, len(images))
            if stop - last >= save_every or stop == len(images):
                yield stop, np.concatenate(features) if features else np.zeros((0, 0), "float32"), skipped
                features, skipped, last = [], {}, stop
            else:
                yield stop, None, {}


class Parts:
    """What an interrupted command has done, in a folder beside the output.

    Args:
        folder: made if it is not there.
        settings: what must be the same when the command is repeated.

    Attributes:
        done: images done.

    Raises:
        ValueError: if the folder holds the parts of another command.
    """

    def __init__(self, folder: pathlib.Path, settings: dict) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "settings.json"
        before = self._settings_of(file)
        if before is not None and before != settings:
            differ = [name for name, value in settings.items() if before.get(name) != value]
            raise ValueError(
                f"{folder} holds the part of another command: other {', '.join(differ) or 'settings'}. "
                "Delete it, or choose another --out."
            )
        write_text(file, json.dumps(settings, indent=2) + "\n")
        self.done = self._end_of_parts()

    @staticmethod
    def _settings_of(file: pathlib.Path) -> dict | None:
        if not file.exists():
            return None
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file} is damaged: {error}. Delete {file.parent}.") from error
        if not isinstance(found, dict):
            raise ValueError(f"{file} is damaged: it must hold an object. Delete {file.parent}.")
        return found

    def _end_of_parts(self) -> int:
        """Images done: each part begins where the one before it ended, or what follows is done anew."""
        done = 0
        for path in sorted(self.folder.glob("*.npz")):
            begin, _, end = path.stem.partition("_")
            whole = begin.isdigit() and end.isdigit() and int(begin) == done and self._is_whole(path)
            if not whole:
                # A part is missing or broken: those behind it cannot be placed.
                path.unlink()
                continue
            done = int(end)
        return done

    @staticmethod
    def _is_whole(path: pathlib.Path) -> bool:
        begin, _, end = path.stem.partition("_")
        try:
            with np.load(path) as part:
                return len(part["features"]) + len(part["positions"]) == int(end) - int(begin)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
            return False

    def add(self, stop: int, features: np.ndarray, skipped: dict[int, str]) -> None:
        """Saves the features of the images up to `stop`, whole or not at all."""
        partial = self.folder / "writing"
        with open(partial, "wb") as stream:
            np.savez(
                stream,
                features=features,
                positions=np.array(list(skipped), "int64"),
                errors=np.array(list(skipped.values()), str),
            )
        os.replace(partial, self.folder / f"{self.done:010d}_{stop:010d}.npz")
        self.done = stop

    def whole(self) -> tuple[np.ndarray, dict[int, str]]:
        """All features, and the errors of what was skipped by position.

        Raises:
            ValueError: if no image could be read.
        """
        features, skipped = [], {}
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path) as part:
                if len(part["features"]):
                    features.append(part["features"])
                skipped |= dict(zip(part["positions"].tolist(), part["errors"].tolist(), strict=True))
        if not features:
            raise ValueError(
                f"None of {len(skipped)} images could be read; the first: {skipped[min(skipped)]}"
            )
        return np.concatenate(features), skipped

    def delete(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder)


def write(
    target: pathlib.Path,
    features: np.ndarray,
    paths: list[str],
    labels: np.ndarray,
    class_names: tuple[str, ...],
    skipped: list[str],
) -> None:
    """Writes the output, whole or not at all."""
    partial = target.with_name(f"{target.stem}.writing{target.suffix}")
    if target.suffix == ".npz":
        np.savez(
            partial,
            features=features,
            paths=np.array(paths, str),
            labels=labels,
            class_names=np.array(class_names, str),
            skipped=np.array(skipped, str),
        )
    else:
        arrow, files = parquet()
        columns = {
            "path": paths,
            "label": labels,
            "class": [class_names[label] if 0 <= label < len(class_names) else None for label in labels],
            "features": arrow.FixedSizeListArray.from_arrays(
                arrow.array(features.reshape(-1)), features.shape[1]
            ),
        }
        table = arrow.table(
            {name: arrow.array(c) if isinstance(c, list) else c for name, c in columns.items()}
        )
        table = table.replace_schema_metadata({"skipped": json.dumps(skipped)})
        files.write_table(table, partial)
    os.replace(partial, target)


def parquet() -> tuple:
    """The modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        ImportError: if they are missing.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('.parquet needs pyarrow: pip install "kerassl[parquet]"') from error
    return pyarrow, pyarrow.parquet


def fingerprint(path: pathlib.Path) -> str:
    """SHA-256 of a file, or of all files of a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return hashlib.sha256("".join(map(fingerprint, files)).encode()).hexdigest()
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    command_line.launch(run)
