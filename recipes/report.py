"""The report of `recipes.evaluate`: one page with the numbers and pictures of some encoders."""

import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

import kerassl
from kerassl.evaluation.figures import (
    LINES,
    UMAP_NEIGHBORS,
    confusion_figure,
    map_figure,
    neighbors_picture,
    new_figure,
    plain,
    sparsity_figure,
    spectrum_figure,
)
from kerassl.evaluation.page import Page
from kerassl.evaluation.patches import find_vit
from kerassl.evaluation.pictures import thumbnail, tiles

from . import scores
from .curves import metric_names, style_axes
from .workdir import read_metrics

PACKAGES = ("kerassl", "keras", "tensorflow", "jax", "torch", "numpy", "scikit-learn", "umap-learn")
# What a protocol's number is, by a part of its name.
ABOUT = {
    "OOD Mahalanobis": "another data set told by its distance from the bank's classes",
    "OOD kNN": "another data set told by the distance of the k-th nearest bank image",
    "OOD probability": "another data set told by a linear classifier's largest probability",
    ", Laplacian": "episodes whose queries are classified together: LaplacianShot",
    ", k-means": "episodes whose queries are clustered about the labeled images",
    "-shot": "episodes of few classes: nearest mean of so many labeled images of each",
    "linear, 1": "logistic regression on that share of the bank's labels",
    "-label": "nearest mean of so many labeled images a class",
    "kNN": "weighted votes of k nearest bank images, temperature t",
    "linear, SGD": "linear classifier by SGD, rate chosen on held-out training labels",
    "linear": "logistic regression on the bank",
    "naive Bayes": "from means and variances of the bank's classes",
    "NMI": "k-means against classes: mutual information, 0 to 1",
    "ARI": "k-means against classes: adjusted Rand index, 0 by chance",
    "clusters": "k-means against classes: accuracy of the best matching",
    "mAP": "mean average precision of ranking the bank",
    "RankMe": "directions in use, at most the features' width",
    "alpha-ReQ": "decay of the spectrum; near 1 is good",
    "uniformity": "spread over the sphere; low is even",
    "tolerance": "how alike images of one class are",
    "prompt IoU": "an object found from one of its patches, at the best threshold",
    "prompt threshold": "that threshold of the cosine similarity",
    "intra-object": "cosine of patches of one object",
    "inter-object": "cosine of patches of two objects in an image",
    "object overlap": "of the histograms of both; 0 is best",
    "essential sparsity": "share of weights that can be zero before kNN loses 1 % of itself",
}
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
        sparsity: accuracy over the share of weights that are zero, if it was asked for.
    """

    model: keras.Model
    bank: np.ndarray
    held_out: np.ndarray
    config: dict | None = None
    metrics: pathlib.Path | None = None
    sparsity: kerassl.evaluation.SparsityCurve | None = None


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
    page = Page(" and ".join(encoders), f"{note} {datetime.date.today():%d %B %Y}.")
    page.section(
        "Numbers",
        "Frozen features. In brackets Wilson's 95 % intervals for the choice of held-out images; after ± one "
        "standard deviation over draws, of episodes 95 % of their mean.",
    )
    cells = {name: written(row, shown.num_examples) for name, row in rows.items()}
    protocols = dict.fromkeys(protocol for row in cells.values() for protocol in row)
    page.table(
        {
            protocol: {name: row.get(protocol, "-") for name, row in cells.items()} | about(protocol)
            for protocol in protocols
        },
        "protocol",
    )
    curves(page, encoders)
    page.section("Spectrum", "Eigenvalues of the covariance: a steep fall means few directions in use.")
    page.figure(
        spectrum_figure({name: one.held_out for name, one in encoders.items()}), "Of the held-out images."
    )
    sparsity = {name: one.sparsity for name, one in encoders.items() if one.sparsity is not None}
    if sparsity:
        page.section("Sparsity", "kNN accuracy with the smallest weights zero, without training in between.")
        page.figure(sparsity_figure(sparsity), "A steep fall means that few weights can be spared.")
    maps(page, encoders, shown, info)
    frames = " Those of another class are framed." if scores.labeled(bank, held_out) else ""
    page.section(
        "Nearest neighbors",
        f"Held-out images on the left, their nearest of the bank by cosine similarity beside them.{frames}",
    )
    for name, one in encoders.items():
        bank_features = one.bank if held_out is not None else one.bank[len(one.bank) // 2 :]
        bank_images = bank.images if held_out is not None else bank.images[len(one.bank) // 2 :]
        asked = slice(None) if held_out is not None else slice(len(one.bank) // 2)
        of_images = (bank.labels, shown.labels) if scores.labeled(bank, held_out) else (None, None)
        picture = neighbors_picture(
            bank_features,
            bank_images,
            one.held_out[asked],
            shown.images[asked],
            bank_labels=of_images[0],
            labels=of_images[1],
        )
        page.picture(picture, name, half=True)
    if scores.labeled(bank, held_out):
        confusion(page, encoders, bank, held_out, info)
    attention(page, encoders, shown.images)
    settings(page, encoders)
    page.section("Environment", "Of this page.")
    page.table({key: {"": value} for key, value in environment().items()})
    return page.save(path)


def try_target(path: str) -> pathlib.Path:
    """Makes the folder of a page and writes a file there, so that nothing is computed in vain.

    Raises:
        ValueError: where that is not possible, or the path is no .html file.
        ImportError: if matplotlib or Pillow is missing.
    """
    target = pathlib.Path(path).expanduser()
    if target.suffix not in (".html", ".htm") or target.is_dir():
        raise ValueError(f"--report={path} must be an .html file.")
    for package, extra in (("matplotlib", "plots"), ("PIL", "data")):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f'--report needs {package}: pip install "kerassl[{extra}]"')
    trial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ValueError(f"--report={path} cannot be written: {error}. Choose another folder.") from error
    return target


def about(protocol: str) -> dict[str, str]:
    """The cell that says what a protocol's number is."""
    return {"what it is": next((text for name, text in ABOUT.items() if name in protocol), "")}


def maps(
    page: Page,
    encoders: Mapping[str, Measured],
    shown: kerassl.data.ImageDataset,
    info: kerassl.data.DatasetInfo,
) -> None:
    """Features in the plane, on principal components and, where umap-learn is installed, by UMAP."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(shown.images))[:MAP_IMAGES])
    labels = None if shown.labels is None else shown.labels[chosen]
    methods = {"pca": "PCA"}
    hint = ' UMAP stands beside it after pip install "kerassl[umap]".'
    if importlib.util.find_spec("umap"):
        hint = ""
        if len(chosen) > UMAP_NEIGHBORS:
            methods["umap"] = "UMAP"
    note = f"L2-normalized features of {len(chosen)} images in the plane"
    page.section("Map", f"{note}: {' and '.join(methods.values())}.{hint}")
    for name, one in encoders.items():
        for method, title in methods.items():
            print(f"Map of {name}: {title}", flush=True)
            picture = map_figure(one.held_out[chosen], shown.images[chosen], labels, info.class_names, method)
            page.figure(picture, f"{name}, {title}", half=True)


def settings(page: Page, encoders: Mapping[str, Measured]) -> None:
    """How the encoders were trained: what differs between runs, then what they share, then the images."""
    configs = {name: one.config for name, one in encoders.items() if one.config}
    if configs:
        flat = {
            name: {**{k: v for k, v in config.items() if k != "about"}, **config.get("about", {})}
            for name, config in configs.items()
        }
        keys = dict.fromkeys(key for config in flat.values() for key in config)
        same = {key for key in keys if len({json.dumps(config.get(key)) for config in flat.values()}) == 1}
        if len(configs) > 1:
            page.section("Settings that differ").table(
                {
                    key: {name: as_text(config.get(key)) for name, config in flat.items()}
                    for key in keys
                    if key not in same
                },
                "setting",
            )
        first = next(iter(flat.values()))
        title = "Settings of all runs" if len(configs) > 1 else "Settings"
        page.section(title).table({key: {"": as_text(first[key])} for key in keys if key in same})
    known = {name: kerassl.evaluation.training_preprocessing(one.model) for name, one in encoders.items()}
    known = {name: prepared(one) for name, one in known.items() if one is not None}
    if known:
        page.section("TrainingPreprocessing", "What was done to the images that each encoder was trained on.")
        rows = dict.fromkeys(key for one in known.values() for key in one)
        page.table({key: {name: one[key] for name, one in known.items()} for key in rows})


def as_text(value: object) -> str:
    """A setting as it is read."""
    if isinstance(value, dict):
        value = ", ".join(f"{name}={one}" for name, one in value.items())
    return "-" if value in (None, "") else str(value)


def prepared(one: kerassl.evaluation.TrainingPreprocessing) -> dict[str, str]:
    """The cells of an encoder's preprocessing in training."""

    def numbers(values: tuple | None, default: str) -> str:
        return default if values is None else ", ".join(f"{value:g}" for value in values)

    images = one.images
    return {
        "training images": "not known"
        if images is None
        else f"{images.size[0]} x {images.size[1]}, {images.values}",
        "brought to that size by": (images and images.resize) or "not known, or not at all",
        "inside of the encoder": f"resized to {one.size[0]} x {one.size[1]}",
        "mean": numbers(one.mean, "usual"),
        "std": numbers(one.std, "usual"),
    }


def written(row: Mapping, count: int) -> dict[str, str]:
    """The cells of a row as they are read."""
    cells = {}
    for name, value in row.items():
        if isinstance(value, (tuple, list)):
            cells[name] = f"{100 * value[0]:.1f} % ± {100 * value[1]:.1f}"
        elif name.startswith(ACCURACIES):
            low, high = kerassl.evaluation.confidence_interval(value, count)
            cells[name] = f"{100 * value:.1f} %\n({100 * low:.1f} to {100 * high:.1f})"
        else:
            cells[name] = f"{value:.3g}"
    # A number and its interval are not torn apart at the end of a line.
    return {name: text.replace(" ", "\u00a0") for name, text in cells.items()}


def curves(page: Page, encoders: Mapping[str, Measured]) -> None:
    """What the runs logged over their epochs, one picture a metric."""
    lines = {name: read_metrics(one.metrics) for name, one in encoders.items() if one.metrics}
    names = metric_names([line for run in lines.values() for line in run])
    if not names:
        return
    page.section("Curves", "What the runs logged. See docs/collapse.md for what is healthy.")
    columns = min(3, len(names))
    height = -(-len(names) // columns)
    figure = new_figure(3.2 * columns, 2.4 * height)
    for index, metric in enumerate(names):
        axes = figure.add_subplot(height, columns, index + 1)
        for number, (name, run) in enumerate(lines.items()):
            points = [(line["epoch"], line[metric]) for line in run if metric in line]
            if points:
                marker = "." if len(points) < 30 else None
                line = LINES[number % len(LINES)]
                axes.plot(*zip(*points, strict=True), line, marker=marker, label=plain(name))
        style_axes(axes, metric)
    if len(lines) > 1:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    page.figure(figure, "One line a run, over epochs.")


def confusion(
    page: Page,
    encoders: Mapping[str, Measured],
    bank: kerassl.data.ImageDataset,
    held_out: kerassl.data.ImageDataset,
    info: kerassl.data.DatasetInfo,
) -> None:
    """Which classes the nearest neighbors take for which."""
    k = scores.neighbors(bank)
    page.section("Confusion", f"Votes of the {k} nearest neighbors.")
    for name, one in encoders.items():
        predicted = kerassl.evaluation.knn(one.bank, bank.labels, one.held_out, k)
        picture = confusion_figure(predicted, held_out.labels, info.class_names)
        page.figure(picture, name, half=info.num_classes <= 20)


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
        page.picture(tiles(pictures, 1 + maps.shape[1], size=64), f"{name}; white is most.")
        patches = kerassl.evaluation.patch_features(model, chosen)
        middle = [(patches.shape[1] // 2, patches.shape[2] // 2)] * len(chosen)
        page.picture(kerassl.evaluation.prompt_picture(chosen, patches, middle), f"{name}, patches")


def environment() -> dict[str, str]:
    """Versions of what computed the numbers."""
    versions = {
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
    }
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
