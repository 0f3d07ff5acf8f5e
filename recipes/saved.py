"""What launchers read of earlier runs: their settings, their encoders, their whole models."""

import json
import pathlib

import keras

import kerassl


def read_run(workdir: pathlib.Path) -> dict:
    """The settings of the run that a workdir holds.

    Raises:
        ValueError: if it holds none.
    """
    file = workdir / "config.json"
    if not file.exists():
        raise ValueError(
            f"{workdir} holds no run: there is no config.json. Pretrain with --workdir={workdir}."
        )
    return json.loads(file.read_text())


def data_settings(config: dict | None, dataset: str | None, **settings) -> tuple[str, dict]:
    """What is to be loaded: the named data set, or that of a run with its settings.

    Args:
        config: the run's settings, or `None` for a file.
        dataset: the name, or `None`.
        **settings: image_size, data_dir, limit_train and limit_test; `None` for those of the run.

    Raises:
        ValueError: without a name and a run.
    """
    if dataset is None:
        if config is None:
            raise ValueError(
                "--dataset is needed with an encoder's file: digits, folder:DIR, npz:FILE or tfds:NAME."
            )
        dataset = config["dataset"]
        settings = {name: value or config[name] for name, value in settings.items()}
    return dataset, settings


def load_encoder(path: pathlib.Path) -> keras.Model:
    """The encoder, from raw images to features, in a `.keras` file, a SavedModel or a finished run's workdir.

    Raises:
        ValueError: if there is none.
    """
    if kerassl.export.is_saved_model(path):
        return kerassl.export.load_saved_model(path)
    return keras.models.load_model(encoder_file(path), compile=False)


def encoder_file(path: pathlib.Path) -> pathlib.Path:
    """The `.keras` file or SavedModel that a path names, itself or in the workdir of a finished run.

    Raises:
        ValueError: if there is none.
    """
    if kerassl.export.is_saved_model(path):
        return path
    file = path / "encoder.keras" if path.is_dir() else path
    if not file.exists():
        unfinished = path.is_dir() and (path / "config.json").exists()
        hint = "The run is not finished: repeat its command." if unfinished else "Check the path."
        raise ValueError(f"There is no {file}. {hint}")
    return file


def load_run(workdir: pathlib.Path) -> kerassl.SSLModel:
    """The trained model of a run, heads and all.

    Raises:
        ValueError: if the workdir holds no run, or one without a checkpoint.
    """
    read_run(workdir)
    file = kerassl.callbacks.Checkpoint(workdir / "checkpoints").latest()
    if file is None:
        raise ValueError(f"{workdir} has no checkpoint yet. Repeat its command.")
    return keras.models.load_model(file, compile=False)
