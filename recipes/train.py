"""What the launchers that train share: train a model in a workdir, measure it, export its encoder."""

import dataclasses
import hashlib
import importlib.util
import json
import pathlib
import tempfile
from collections.abc import Callable, Mapping

import keras

import kerassl

from . import scores
from .cards import run_facts
from .curves import plot_curves
from .workdir import Journal, Workdir, write_text


def train_in(
    workdir: Workdir,
    model: kerassl.SSLModel,
    train,  # noqa: ANN001
    test,  # noqa: ANN001
    *,
    epochs: int,
    num_devices: int = 1,
    knn_every: int | None = None,
    eval_images: int = 10_000,
    stop_after: int | None = None,
    save_every_steps: int | None = None,
    keep_checkpoints: int = 3,
    saved_model: bool = True,
    references: Mapping[str, keras.Model] | None = None,
    initial_row_name: str = "random encoder",
    eval_data: tuple | None = None,
    verbose: int = 1,
) -> dict | None:
    """Trains a compiled, untrained model, or goes on where its workdir stands.

    A model that classifies is written whole, too, as `classifier.keras`, and its held-out accuracy is the
    table's column "classifier".

    Args:
        workdir: where the run lives.
        model: the compiled model with its first weights.
        train: the training data.
        test: held-out data, or `None`.
        epochs: passes over the data.
        num_devices: devices that share a batch.
        knn_every: epochs between two kNN accuracies and diagnostics; `None` for ten over the run.
        eval_images: images of each part that the evaluation looks at, at most.
        stop_after: epochs to train in this call at most.
        save_every_steps: batches between two checkpoints within an epoch; `None` for the ends of epochs.
        keep_checkpoints: newest checkpoints to keep.
        saved_model: whether to write a SavedModel besides `encoder.keras`.
        references: further models from raw images to features, as rows of the table.
        initial_row_name: the table's name for what the model's first weights give.
        eval_data: training and held-out data of another data set that the table is of; by default `train` and
            `test`.
        verbose: as in `fit`: 0 for no output, 1 for a progress bar, 2 for a line per epoch.

    Returns:
        The rows of the table, or `None` if the run is not finished.

    Raises:
        ValueError: if training collapsed, or the workdir cannot hold the checkpoints or is in use.
        FloatingPointError: if the loss became NaN.
    """
    checkpoint = kerassl.callbacks.Checkpoint(workdir.checkpoints, save_every_steps, keep_checkpoints)
    checkpoint.prepare(model)
    with checkpoint.locked():
        return _train_in(
            workdir,
            model,
            train,
            test,
            checkpoint,
            epochs=epochs,
            num_devices=num_devices,
            every=knn_every or max(1, epochs // 10),
            eval_images=eval_images,
            stop_after=stop_after,
            saved_model=saved_model,
            references=references or {},
            initial_row_name=initial_row_name,
            eval_data=eval_data or (train, test),
            verbose=verbose,
        )


def _train_in(
    workdir: Workdir,
    model: kerassl.SSLModel,
    train,  # noqa: ANN001
    test,  # noqa: ANN001
    checkpoint: kerassl.callbacks.Checkpoint,
    *,
    epochs: int,
    num_devices: int,
    every: int,
    eval_images: int,
    stop_after: int | None,
    saved_model: bool,
    references: Mapping[str, keras.Model],
    initial_row_name: str,
    eval_data: tuple,
    verbose: int,
):
    """As `train_in`, in a folder that is locked."""
    bank, held_out = (scores.sample(part, eval_images, num_devices) for part in eval_data)
    embed_size = 256 * num_devices
    rows = {
        "raw pixels": scores.score_pixels(bank, held_out),
        initial_row_name: scores.score_model(model, bank, held_out, embed_size),
    }
    chief, processes = kerassl.engine.is_chief(), kerassl.engine.process_index_and_count()[1]
    for name, reference in references.items() if processes == 1 else ():
        rows[name] = scores.score_model(reference, bank, held_out, embed_size)
    # What makes variables is done by all processes alike; one keeps the file.
    with tempfile.TemporaryDirectory() as elsewhere:
        picture = (workdir.path if chief else pathlib.Path(elsewhere)) / "views.png"
        _if_installed(kerassl.views.gallery, bank.images[:8], model.views, picture)

    guard = kerassl.callbacks.CollapseGuard()
    diagnostics = kerassl.callbacks.Diagnostics(bank, every=every, batch_size=embed_size)
    callbacks = [diagnostics, guard, Journal(workdir, stop_after), checkpoint]
    if scores.labeled(bank, held_out):
        knn = kerassl.callbacks.KNNAccuracy(
            bank, held_out, k=scores.neighbors(bank), every=every, batch_size=embed_size
        )
        callbacks.insert(0, knn)
    if chief and importlib.util.find_spec("tensorflow") and importlib.util.find_spec("tensorboard"):
        callbacks.append(keras.callbacks.TensorBoard(workdir.path / "tensorboard", write_graph=False))
    model.fit(train, epochs=epochs, callbacks=callbacks, verbose=verbose)
    if guard.reason:
        raise ValueError(guard.reason)
    if chief:
        _if_installed(plot_curves, workdir.metrics, workdir.path / "curves.png")
    if model.clock.epoch < epochs:
        print(f"Stopped after epoch {model.clock.epoch} of {epochs}. The same command continues.")
        return None

    rows["trained encoder"] = scores.score_model(model, bank, held_out, embed_size)
    classifies = hasattr(model, "classify")
    if classifies and scores.labeled(held_out):
        rows["trained encoder"]["classifier"] = scores.accuracy(model, held_out, embed_size)
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = workdir.path if chief else pathlib.Path(elsewhere)
        formats = ["keras"]
        if saved_model and importlib.util.find_spec("tensorflow"):
            formats.append("tf_saved_model")
        encoder = kerassl.export.exportable_encoder(model)
        files = dict(kerassl.export.write_network(encoder, folder / "encoder", formats))
        if classifies:
            model.export_classifier(folder / "classifier", format="keras")
        for name, network in model.sub_encoders.items():
            path = folder / f"encoder_{name}"
            path = kerassl.export.export_encoder(model, path, "keras", encoder=network)
            if processes == 1:
                smaller = keras.models.load_model(path, compile=False)
                rows[f"encoder {name}"] = scores.score_model(smaller, bank, held_out, embed_size)
    if chief:
        card = kerassl.export.model_card(encoder, files, **run_facts(workdir.config, rows))
        write_text(workdir.path / "encoder.md", card)
        prepared = kerassl.evaluation.training_preprocessing(model)
        if prepared is not None:
            text = json.dumps(dataclasses.asdict(prepared), indent=2)
            write_text(workdir.path / "preprocessing.json", text + "\n")
        workdir.finish(scores.to_json(rows))
    scores.show(rows, bank, held_out)
    print(f"\nIn {workdir.path}: {', '.join(sorted(file.name for file in workdir.path.iterdir()))}")
    return rows


def about(info: kerassl.data.DatasetInfo, steps_per_epoch: int) -> dict:
    """What a run's `config.json` says besides its settings."""
    return {
        "kerassl": kerassl.__version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "image_shape": list(info.image_shape),
        "num_classes": info.num_classes,
        "class_names": _names(info.class_names),
        "num_train": info.num_train,
        "num_test": info.num_test,
        "steps_per_epoch": steps_per_epoch,
    }


def data_facts(train, test, steps_per_epoch: int) -> dict:  # noqa: ANN001
    """What a run's `config.json` says of its data, to be compared when the run is continued."""
    parts = {"train_data": train, "test_data": test}
    facts = {
        name: kerassl.data.fingerprint(part, steps_per_epoch)
        for name, part in parts.items()
        if part is not None
    }
    return {name: _digest(of_part) for name, of_part in facts.items()}


def _names(names: tuple[str, ...] | None):
    """Class names, or of many their number and a digest."""
    if names is None or len(names) <= 20:
        return names and list(names)
    return f"{len(names)} names, {_digest(names)}"


def _digest(facts: object):
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def print_settings(config: Mapping) -> None:
    """Prints a run's resolved settings, one a line."""
    settings = {**{k: v for k, v in config.items() if k != "about"}, **config["about"]}
    width = max(map(len, settings))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in settings.items()), flush=True)


def show_finished(workdir: Workdir) -> dict:
    """Says that a run is finished and prints its table again."""
    rows = scores.from_json(workdir.result)
    print(f"{workdir.path} holds this run, finished. Nothing was trained.\n")
    print(kerassl.evaluation.table(rows))
    return rows


def _if_installed(function: Callable, *arguments):
    try:
        function(*arguments)
    except ImportError as error:
        print(f"Left out: {error}")
