"""Measures a saved encoder: the table that pretraining ends with.

    python -m recipes.evaluate --encoder=runs/digits
    python -m recipes.evaluate --encoder=encoder.keras --dataset=folder:photos/
    python -m recipes.evaluate --encoder=runs/byol,runs/swav --dataset=tfds:cifar10 --report=report.html
    python -m recipes.evaluate --encoder=runs/byol --protocols=linear_1pct,linear_10pct,transductive
    python -m recipes.evaluate --encoder=runs/byol --ood=tfds:svhn_cropped
    python -m recipes.evaluate --encoder=runs/mae --masks=VOC2012/ --protocols=knn,sparsity

Each row is of frozen features: raw pixels, the same architecture with random weights, the encoder; or of
several encoders, one a row. A run takes as long as embedding the images does.
"""

import dataclasses
import pathlib
from typing import Annotated

import keras
import numpy as np

import kerassl
from kerassl.arguments import PositiveInt
from kerassl.evaluation.preprocessing import warn_of_preprocessing

from . import command_line, scores
from . import report as pages
from .bounds import Path, Paths, Seed, one_of
from .devices import devices
from .names import PRECISIONS, check_name
from .quiet import import_quietly
from .saved import data_settings, encoder_file, load_encoder, read_run
from .workdir import METRICS

# A protocol of the encoder, not of its features alone.
SPARSITY = "sparsity"


@command_line.Launcher
def run(
    encoder: Paths,
    dataset: str | None = None,
    batch_size: PositiveInt = 256,
    image_size: PositiveInt | None = None,
    precision: Annotated[str, one_of(PRECISIONS)] = "float32",
    seed: Seed = 0,
    data_dir: Path | None = None,
    limit_train: PositiveInt | None = None,
    limit_test: PositiveInt | None = None,
    eval_images: PositiveInt = 10_000,
    protocols: str = "few_shot,knn,linear,rankme",
    ood: str | None = None,
    masks: Path | None = None,
    report: Path | None = None,
) -> dict:
    """Prints the table of saved encoders, and writes a page of numbers and pictures if asked.

    Args:
        encoder: a .keras file or SavedModel from raw images to features, or the workdir of a finished run;
            several separated by commas are compared.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME; for a workdir, by default the (first) run's own.
        batch_size: images per step.
        image_size: side in pixels to which images are resized; if not given, that of the images that the
            encoders were trained on, or as they come where it is not known or they differ.
        precision: of the computation; a saved encoder keeps its own.
        seed: keys the random encoder's weights.
        data_dir: where TFDS keeps its data.
        limit_train: use the first so many training images only.
        limit_test: use the first so many test images only.
        eval_images: images of each part that the evaluation looks at, at most.
        protocols: few_shot, episodes, transductive, knn, linear, linear_sgd, linear_1pct, linear_10pct,
            naive_bayes, clustering, retrieval, rankme, alpha_req, uniformity, tolerance and sparsity (kNN
            with ever more weights zero), separated by commas; a percentage is of the labels of eval_images.
        ood: another data set, as for dataset: how well scores of the training images tell its images from the
            held-out ones (AUROC, FPR95).
        masks: a folder of images/ and masks/, or of PASCAL VOC: how well a ViT's patches find the object that
            one of them is of, and tell objects apart, without training.
        report: an .html file for the page.

    Returns:
        The rows of the printed table.

    Raises:
        ValueError: for a missing file, a missing dataset, images that do not fit the encoder, or a protocol
            that needs labels or a ViT.
    """
    chosen = protocols.split(",")
    for name in chosen:
        check_name("protocol", name, (*kerassl.evaluation.PROTOCOLS, SPARSITY))
    paths = [pathlib.Path(path).expanduser() for path in encoder.split(",")]
    if report:
        # Before the computing, which may take hours.
        pages.try_target(report)
    runs = {
        path: read_run(path) for path in paths if path.is_dir() and not kerassl.export.is_saved_model(path)
    }
    for path in paths:
        encoder_file(path)
    dataset, settings = data_settings(
        runs.get(paths[0]),
        dataset,
        image_size=image_size,
        data_dir=data_dir,
        limit_train=limit_train,
        limit_test=limit_test,
    )
    settings["image_size"] = settings["image_size"] or size_of_training(paths)
    train, test, info = kerassl.data.load(dataset, batch_size=batch_size, **settings)
    bank, held_out = scores.sample(train, eval_images), scores.sample(test, eval_images)
    if SPARSITY in chosen and not scores.labeled(bank, held_out):
        raise ValueError(f"{SPARSITY} is by kNN accuracy: it needs labels and held-out images.")
    images = Images(bank, held_out)
    if ood is not None:
        others = outliers(ood, info, held_out, batch_size, data_dir, limit_test, eval_images)
        images = dataclasses.replace(images, ood=others)
    if masks is not None:
        size, channels = info.image_shape[:2], info.image_shape[-1]
        images = dataclasses.replace(
            images, masked=kerassl.data.load_masks(masks, size, channels, eval_images)
        )
    of_features = [name for name in chosen if name != SPARSITY]
    rows = {"raw pixels": scores.score_pixels(bank, held_out, of_features, images.ood)}
    measured = {}
    with devices(precision=precision):
        for name, path in zip(names(paths), paths, strict=True):
            model = load_encoder(path)
            if model.input_shape[-1] != info.image_shape[-1]:
                raise ValueError(
                    f"{path} takes images of {model.input_shape[-1]} channels, those of {info.name} have "
                    f"{info.image_shape[-1]}."
                )
            compare_preprocessing(model, dataset, info.image_shape[:2], settings["data_dir"])
            # Of a SavedModel there is nothing that could be drawn anew.
            if len(paths) == 1 and not kerassl.export.is_saved_model(path):
                import_quietly("tensorflow")
                keras.utils.set_random_seed(seed)
                untrained = untrained_twin(model)
                rows["random encoder"], _ = measure(
                    untrained, images, batch_size, of_features, SPARSITY in chosen
                )
            print(f"Measuring {name}: {path}", flush=True)
            rows[name], found = measure(model, images, batch_size, of_features, SPARSITY in chosen)
            metrics = path / METRICS if path in runs else None
            measured[name] = dataclasses.replace(found, config=runs.get(path), metrics=metrics)
        widths = {name: one.held_out.shape[1] for name, one in measured.items()}
        rows = scores.comparable(rows, widths)
        scores.show(rows, bank, held_out)
        if images.ood is not None:
            print(f"OOD: {images.ood.num_examples} images of {ood}.")
        if images.masked is not None:
            print(f"Prompts and objects: {len(images.masked[0])} images of {masks}.")
        if report:
            print(f"\nWrote {pages.write(report, measured, rows, bank, held_out, info)}.")
    return rows


@dataclasses.dataclass(frozen=True)
class Images:
    """What encoders are measured on.

    Attributes:
        bank: training images.
        held_out: held-out images, or `None`.
        ood: images of another data set, or `None`.
        masked: images with masks of their objects, as of `kerassl.data.load_masks`, or `None`.
    """

    bank: kerassl.data.ImageDataset
    held_out: kerassl.data.ImageDataset | None
    ood: kerassl.data.ImageDataset | None = None
    masked: tuple[np.ndarray, np.ndarray] | None = None


def measure(
    model: keras.Model, images: Images, batch_size: int, protocols: list[str], sparsity: bool
) -> tuple[dict, pages.Measured]:
    """The row of an encoder, and what a page shows of it."""
    bank, held_out = images.bank, images.held_out
    of_patches = {} if images.masked is None else scores.score_patches(model, *images.masked)
    features, held_features = scores.embed_both(model, bank, held_out, batch_size, verbose=1)
    far = None if images.ood is None else kerassl.embed(model, images.ood, batch_size=batch_size)[0]
    row = scores.score(features, bank, held_features, held_out, protocols, far, verbose=1) | of_patches
    curve = None
    if sparsity:
        curve = scores.sparsity_curve(model, bank, held_out, batch_size)
        row["essential sparsity"] = curve.essential
    held_features = features if held_features is None else held_features
    return row, pages.Measured(model, features, held_features, sparsity=curve)


def outliers(
    name: str,
    info: kerassl.data.DatasetInfo,
    held_out: kerassl.data.ImageDataset | None,
    batch_size: int,
    data_dir: str | None,
    limit: int | None,
    eval_images: int,
) -> kerassl.data.ImageDataset:
    """Images of another data set in the size of those that are known: its test part, or all if it has none.

    Raises:
        ValueError: for an unknown name, images of other channels, or nothing held out to tell them from.
    """
    if held_out is None:
        raise ValueError(f"--ood needs held-out images, but {info.name} has no test part.")
    train, test, other = kerassl.data.load(
        name,
        batch_size=batch_size,
        image_size=info.image_shape[:2],
        labels=False,
        data_dir=data_dir if name.startswith("tfds:") else None,
        limit_train=limit,
        limit_test=limit,
    )
    if other.image_shape[-1] != info.image_shape[-1]:
        raise ValueError(
            f"Images of {name} have {other.image_shape[-1]} channels, those of {info.name} "
            f"{info.image_shape[-1]}: both must have as many."
        )
    return scores.sample(train if test is None else test, eval_images)


def names(paths: list[pathlib.Path]) -> list[str]:
    """What encoders are called in a table: one alone is the trained one, several go by their paths."""
    if len(paths) == 1:
        return ["trained encoder"]
    short = [path.stem for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def size_of_training(paths: list[pathlib.Path]) -> tuple[int, int] | None:
    """The size of the images that encoders were trained on, if it is known of all and the same."""
    files = [encoder_file(path) for path in paths]
    known = [None if file.is_dir() else kerassl.evaluation.training_preprocessing(file) for file in files]
    sizes = {None if one is None or one.images is None else one.images.size for one in known}
    return sizes.pop() if len(sizes) == 1 else None


def untrained_twin(model: keras.Model) -> keras.Model:
    """The same architecture with random weights, which have been trained on no images."""
    twin = model.__class__.from_config(model.get_config())
    if (layer := kerassl.export.preprocessing_of(twin)) is not None:
        layer.trained_on = None
    return twin


def compare_preprocessing(
    model: keras.Model, dataset: str, size: tuple[int, int], data_dir: str | None, probe: int = 400
) -> None:
    """Warns if an encoder was trained on images of another size than `size`, with what that makes.

    Some of the data set's images are loaded in both sizes.
    """
    known = kerassl.evaluation.training_preprocessing(model)
    if known is None or known.images is None or known.images.size == size:
        return
    given, as_trained = (
        kerassl.data.load(dataset, image_size=s, data_dir=data_dir, limit_train=probe, limit_test=probe)[:2]
        for s in (size, known.images.size)
    )
    part = 0 if given[1] is None else 1
    warn_of_preprocessing(model, given[part].images, given[part].labels, as_trained[part].images)


if __name__ == "__main__":
    command_line.launch(run)
