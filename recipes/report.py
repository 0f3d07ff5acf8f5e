"""The report of `recipes.evaluate`: one page with the numbers and pictures of some encoders."""

import importlib.metadata
import pathlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

import kerassl
from kerassl.evaluation.figures import (
    confusion_figure,
    map_figure,
    neighbours_picture,
    new_figure,
    spectrum_figure,
)
from kerassl.evaluation.page import Page
from kerassl.evaluation.patches import find_vit
from kerassl.pictures import thumbnail, tiles
from recipes import scores
from recipes.curves import metric_names
from recipes.workdir import read_metrics

PACKAGES = ("kerassl", "keras", "tensorflow", "jax", "torch", "numpy", "scikit-learn")
# Columns that are shares of right answers on the held-out images.
ACCURACIES = ("kNN", "linear", "naive Bayes", "accuracy")
MAP_IMAGES = 2000


@dataclass(frozen=True)
class Measured:
    """An encoder and what it makes of the images.

    Attributes:
        model: from raw images to features.
        bank: `(bank, dim)` features.
        held_out: `(number, dim)` features, those of the bank where nothing is held out.
        config: settings of its run, if it has one.
        metrics: its `metrics.jsonl`, if it has one.
    """

    model: keras.Model
    bank: np.ndarray
    held_out: np.ndarray
    config: dict | None = None
    metrics: pathlib.Path | None = None


def write(
    path: str,
    encoders: Mapping[str, Measured],
    rows: Mapping[str, dict],
    bank: kerassl.data.ImageDataset,
    held_out: kerassl.data.ImageDataset | None,
    info: kerassl.data.DatasetInfo,
) -> pathlib.Path:
    """Writes the page.

    Args:
        path: an .html file.
        encoders: by name.
        rows: the table of all encoders and baselines.
        bank: the images of the bank.
        held_out: the held-out images, or `None`.
        info: of the data set.

    Raises:
        ImportError: if matplotlib or Pillow is missing.
    """
    shown = held_out or bank
    note = f"{info.name}: bank of {bank.num_examples} images, {shown.num_examples} held out."
    if held_out is None:
        note = f"{info.name}: {bank.num_examples} images, none held out."
    page = Page(" and ".join(encoders), note)
    page.section(
        "Numbers",
        "Frozen features. Intervals of accuracies are Wilson's 95 % for the choice of held-out images; those "
        "of few labels are one standard deviation over draws, those of episodes 95 % of their mean. "
        "OOD columns tell the images of another data set from held-out ones by scores of the bank.",
    ).table({name: written(row, shown.num_examples) for name, row in rows.items()}, "encoder")
    curves(page, encoders)
    page.section("Spectrum", "Eigenvalues of the covariance: a steep fall means few directions in use.")
    page.figure(
        spectrum_figure({name: one.held_out for name, one in encoders.items()}), "Of the held-out images."
    )
    page.section("Map", "Features on their first two principal components.")
    chosen = np.sort(np.random.default_rng(0).permutation(len(shown.images))[:MAP_IMAGES])
    labels = None if shown.labels is None else shown.labels[chosen]
    for name, one in encoders.items():
        picture = map_figure(one.held_out[chosen], shown.images[chosen], labels, info.class_names)
        page.figure(picture, f"{name}: {len(chosen)} images.")
    page.section("Nearest neighbours", "Held-out images on the left, their nearest of the bank beside them.")
    for name, one in encoders.items():
        bank_features = one.bank if held_out is not None else one.bank[len(one.bank) // 2 :]
        bank_images = bank.images if held_out is not None else bank.images[len(one.bank) // 2 :]
        asked = slice(None) if held_out is not None else slice(len(one.bank) // 2)
        picture = neighbours_picture(bank_features, bank_images, one.held_out[asked], shown.images[asked])
        page.picture(picture, f"{name}, by cosine similarity.")
    if scores.labelled(bank, held_out):
        confusion(page, encoders, bank, held_out, info)
    attention(page, encoders, shown.images)
    settings = {name: one.config for name, one in encoders.items() if one.config}
    if settings:
        keys = dict.fromkeys(key for config in settings.values() for key in config if key != "about")
        page.section("Settings").table(
            {key: {name: config.get(key, "-") for name, config in settings.items()} for key in keys}
        )
    page.section("Environment").table({key: {"": value} for key, value in environment().items()})
    return page.save(path)


def written(row: Mapping, count: int) -> dict[str, str]:
    """The cells of a row as they are read."""
    cells = {}
    for name, value in row.items():
        if isinstance(value, (tuple, list)):
            cells[name] = f"{100 * value[0]:.1f} % ± {100 * value[1]:.1f}"
        elif name.startswith(ACCURACIES):
            low, high = kerassl.evaluation.confidence_interval(value, count)
            cells[name] = f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        else:
            cells[name] = f"{value:.3g}"
    return cells


def curves(page: Page, encoders: Mapping[str, Measured]) -> None:
    """What the runs logged over their epochs, one picture a metric."""
    lines = {name: read_metrics(one.metrics) for name, one in encoders.items() if one.metrics}
    names = metric_names([line for run in lines.values() for line in run])
    if not names:
        return
    page.section("Curves", "Over the epochs of training.")
    columns = min(3, len(names))
    height = -(-len(names) // columns)
    figure = new_figure(3.2 * columns, 2.4 * height)
    for index, metric in enumerate(names):
        axes = figure.add_subplot(height, columns, index + 1)
        for name, run in lines.items():
            points = [(line["epoch"], line[metric]) for line in run if metric in line]
            if points:
                axes.plot(*zip(*points, strict=True), label=name)
        axes.set_title(metric, fontsize=10)
        axes.grid(alpha=0.3)
    if len(lines) > 1:
        figure.axes[0].legend(fontsize=8)
    page.figure(figure, ", ".join(names))


def confusion(
    page: Page,
    encoders: Mapping[str, Measured],
    bank: kerassl.data.ImageDataset,
    held_out: kerassl.data.ImageDataset,
    info: kerassl.data.DatasetInfo,
) -> None:
    """Which classes the nearest neighbours take for which."""
    k = scores.neighbours(bank)
    page.section("Confusion", f"Votes of the {k} nearest neighbours.")
    for name, one in encoders.items():
        predicted = kerassl.evaluation.knn(one.bank, bank.labels, one.held_out, k)
        page.figure(confusion_figure(predicted, held_out.labels, info.class_names), name)


def attention(page: Page, encoders: Mapping[str, Measured], images: np.ndarray, count: int = 6) -> None:
    """Where the class tokens of vision transformers look."""
    found = {name: (one.model, *find_vit(one.model)) for name, one in encoders.items()}
    found = {name: parts for name, parts in found.items() if parts[1] is not None}
    if not found:
        return
    page.section(
        "Attention",
        "Of the class token in the last block: each image, then one map for each head. Below, images with "
        "their middle patch marked, and how similar the other patches are to it.",
    )
    chosen = images[np.random.default_rng(0).permutation(len(images))[:count]]
    for name, (model, vit, preprocess) in found.items():
        prepared = chosen if preprocess is None else preprocess(chosen)
        maps = kerassl.backbones.attention_maps(vit, prepared)
        maps = keras.ops.convert_to_numpy(maps)
        pictures = []
        for image, heads in zip(chosen, maps, strict=True):
            light = heads / np.maximum(heads.max((1, 2), keepdims=True), 1e-12)
            pictures += [thumbnail(image, 64), *(thumbnail(255 * m[..., None], 64) for m in light)]
        page.picture(tiles(pictures, 1 + maps.shape[1], size=64), name)
        patches = kerassl.evaluation.patch_features(model, chosen)
        middle = [(patches.shape[1] // 2, patches.shape[2] // 2)] * len(chosen)
        page.picture(kerassl.evaluation.prompt_picture(chosen, patches, middle), f"{name}, patches")


def environment() -> dict[str, str]:
    """Versions of what computed the numbers."""
    versions = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
