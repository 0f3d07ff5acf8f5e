"""Writes a trained encoder and its model card for use elsewhere.

    python -m recipes.export --encoder=runs/digits --formats=onnx,litert
    python -m recipes.export --encoder=runs/digits --formats=saved_model,onnx,litert --int8
    python -m recipes.export --encoder=timm/model.safetensors --formats=keras,onnx

Resizing and normalization are inside. Each file is read again by its own runtime, and the table says how far
its features are from the encoder's. Of a run that is not finished its newest checkpoint is written.
"""

import json
import pathlib
import time
from collections.abc import Callable

import keras
import numpy as np

import kerassl
from kerassl.arguments import PositiveInt
from kerassl.export import FORMATS

from . import command_line, scores
from .bounds import Path
from .cards import run_facts
from .names import check_name
from .saved import load_encoder, load_run, read_run
from .workdir import RESULT, write_text


@command_line.Launcher
def run(
    encoder: Path,
    formats: str = "saved_model",
    output: Path | None = None,
    image_size: PositiveInt | None = None,
    resize_to: PositiveInt | None = None,
    int8: bool = False,
    dataset: str | None = None,
    data_dir: Path | None = None,
    eval_images: PositiveInt = 2_000,
    batch_size: PositiveInt = 64,
) -> dict[str, pathlib.Path]:
    """Exports an encoder and prints a table of the files.

    Args:
        encoder: the workdir of a run, a .keras file from raw images to features, or a .safetensors file with
            timm's config.json beside it.
        formats: saved_model, onnx, keras, litert, openvino and torch, separated by commas.
        output: what to write, without suffix; exported in the workdir, or beside the file, if not given.
        image_size: side in pixels of the images that will come; any if not given.
        resize_to: side in pixels to which they are resized for the encoder; that of training if not given.
        int8: store weights in 8 bits, and state what that costs in kNN accuracy.
        dataset: for --int8: digits, folder:DIR, npz:FILE or tfds:NAME; by default the run's own.
        data_dir: where TFDS keeps its data.
        eval_images: for --int8: images of each part of the data set that are looked at, at most.
        batch_size: for --int8: images at a time.

    Returns:
        {format: path} of what was written.

    Raises:
        ValueError: for an unknown format, a workdir without a trained model, a size that the encoder does not
            take, or --int8 without a labeled data set.
    """
    place = pathlib.Path(encoder).expanduser()
    names = ["tf_saved_model" if name == "saved_model" else name for name in formats.split(",")]
    for name in names:
        check_name("format", name, FORMATS)
    config = read_run(place) if place.is_dir() else {}
    network = load_network(place)
    size = image_size
    if "torch" in names and size is None and kerassl.export.preprocessing_of(network) is not None:
        # It keeps the size that it is traced with.
        size = kerassl.export.image_size(network)
    if size is not None or resize_to is not None:
        network = kerassl.export.resized(network, size, resize_to)
    parts = None
    if int8:
        kerassl.export.check_int8(network, names)
        parts = labeled_parts(dataset, data_dir, size, config, eval_images)
    base = place / "exported" if place.is_dir() else place.with_suffix("")
    base = kerassl.export.without_suffix(output or base)
    if base.with_suffix(".keras") == place:
        base = base.with_name(f"{base.name}_exported")

    sample = parts[0].images[:4] if parts else random_inputs(network)
    expected = network.predict(sample, verbose=0)
    checks = {"encoder": {"MB": f"{4e-6 * network.count_params():.2f}"}}
    if parts:
        checks["encoder"] |= knn(network.predict_on_batch, "encoder", parts, batch_size)
    files, start = {}, time.perf_counter()
    print(f"Writing {', '.join(names)}.", flush=True)
    for name, path in kerassl.export.write_network(network, base, names, int8):
        seconds = time.perf_counter() - start
        print(f"{path}: {megabytes(path)} MB, written in {seconds:.1f} s", flush=True)
        files[name] = path
        checks[name] = {"MB": megabytes(path)} | check(
            network, name, path, sample, expected, parts, batch_size
        )
        start = time.perf_counter()
    print(f"\n{kerassl.export.markdown_table(checks)}")
    note = int8_note(network, checks) if parts else ""
    print(note)
    result = place / RESULT
    rows = scores.from_json(json.loads(result.read_text())) if config and result.exists() else None
    card = base.with_name(f"{base.name}.md")
    text = kerassl.export.model_card(network, files, checks=checks, int8=note, **run_facts(config, rows))
    write_text(card, text)
    what = "raw images" if kerassl.export.takes_images(network) else "inputs"
    print(f"Wrote {card}: {what} in, {network.output_shape[-1]} features out.")
    return files


def load_network(place: pathlib.Path) -> keras.Model:
    """The encoder of a run, or in a file, from raw images to features."""
    if place.suffix == ".safetensors":
        encoder = kerassl.backbones.load_timm(place)
        preprocess = kerassl.views.Preprocess(**kerassl.backbones.timm_statistics(place))
        return kerassl.export.with_preprocessing(encoder, preprocess)
    if place.is_dir() and not (place / "encoder.keras").exists():
        return kerassl.export.exportable_encoder(load_run(place))
    return load_encoder(place)


def labeled_parts(
    dataset: str | None,
    data_dir: str | None,
    size: int | tuple[int, int] | None,
    config: dict,
    limit: int,
) -> tuple[kerassl.data.ImageDataset, kerassl.data.ImageDataset]:
    """A bank and held-out images with labels, by which the loss of 8 bits is measured."""
    settings = {name: config.get(name) for name in ("data_dir", "limit_train", "limit_test")}
    if dataset is not None or not config:
        settings = {}
    dataset = dataset or config.get("dataset")
    if dataset is None:
        raise ValueError("--int8 states what it costs in kNN accuracy, and needs --dataset for it.")
    settings["image_size"] = size or config.get("image_size")
    settings["data_dir"] = data_dir or settings.get("data_dir")
    train, test, _ = kerassl.data.load(dataset, **settings)
    bank, held_out = scores.sample(train, limit), scores.sample(test, limit)
    if not scores.labeled(bank, held_out):
        raise ValueError(f"--int8 needs labels and held-out images for kNN; {dataset} lacks them.")
    return bank, held_out


def check(network, name, path, sample, expected, parts, batch_size: int) -> dict[str, str]:  # noqa: ANN001
    """How far a file's features are from the encoder's, and their kNN accuracy, by the format's runtime."""
    try:
        several = len(network.inputs) > 1
        given = network.inputs[0]
        features = kerassl.export.read(path, name, "inputs" if several else given.name, given.dtype, several)
    except ImportError as error:
        return {"largest difference": f"not read: {error}"}
    if several and name == "onnx":
        # It takes several inputs by their names.
        names = [part.name for part in network.inputs]
        sample = dict(zip(names, keras.tree.flatten(sample), strict=True))
    difference = np.abs(features(sample) - expected).max()
    found = {"largest difference": f"{difference:.1e}", "largest feature": f"{np.abs(expected).max():.2g}"}
    return found | (knn(features, name, parts, batch_size) if parts else {})


def knn(features: Callable, name: str, parts, batch_size: int) -> dict[str, float]:  # noqa: ANN001
    """The accuracy of kNN on the features that a function gives of a batch of images."""
    bank, held_out = parts
    embedded = []
    bar = keras.utils.Progbar(bank.num_examples + held_out.num_examples, unit_name=f"image, kNN of {name}")
    for part in parts:
        found = []
        for start in range(0, part.num_examples, batch_size):
            found.append(np.asarray(features(part.images[start : start + batch_size])))
            bar.add(len(found[-1]))
        embedded.append(np.concatenate(found))
    k = scores.neighbors(bank)
    accuracy = kerassl.evaluation.knn_accuracy(embedded[0], bank.labels, embedded[1], held_out.labels, k=k)
    return {f"kNN k{k} t0.1": accuracy}


def int8_note(network: keras.Model, checks: dict) -> str:
    """What is in 8 bits, and what that costs."""
    (column,) = (name for name in checks["encoder"] if name.startswith("kNN"))
    before = checks["encoder"][column]
    changes = [f"{row[column] - before:+.3f} in {name}" for name, row in checks.items() if column in row][1:]
    lines = []
    if set(checks) - {"encoder", "litert"}:
        lines.append(f"Keras' int8: {kerassl.export.describe_int8(network)}.")
    if "litert" in checks:
        lines.append("LiteRT's own converter: kernels of 1,024 weights or more in 8 bits, convolutions, too.")
    lines.append(f"Change of {column}, {before:.3f} for the encoder: {', '.join(changes) or 'not measured'}.")
    return " ".join(lines)


def random_inputs(network: keras.Model) -> object:
    """Four examples such as a network takes."""
    rng, raw = np.random.default_rng(0), kerassl.export.preprocessing_of(network) is not None

    def drawn(part: np.ndarray) -> np.ndarray:
        if raw:
            return rng.integers(0, 256, part.shape).astype("uint8")
        if part.dtype.kind == "f":
            return rng.uniform(-1, 1, part.shape).astype(part.dtype)
        # Every network of token ids knows 0 and 1.
        return rng.integers(0, 2, part.shape).astype(part.dtype)

    return keras.tree.map_structure(drawn, kerassl.export.sample_inputs(network, 4))


def megabytes(path: pathlib.Path) -> str:
    """Size of a file, with the weights that OpenVINO keeps beside it, or of all files in a folder."""
    files = list(path.rglob("*")) if path.is_dir() else [path]
    if path.suffix == ".xml":
        files.append(path.with_suffix(".bin"))
    return f"{sum(file.stat().st_size for file in files) / 1e6:.2f}"


if __name__ == "__main__":
    command_line.launch(run)
