"""A folder that holds one run: its settings, its checkpoints, what it measured."""

import json
import os
import pathlib
import time

import keras
from keras import ops

import kerassl

RESULT, METRICS = "result.json", "metrics.jsonl"


class Workdir:
    """The files of one run.

    Of several processes only the first one checks and writes.

    Args:
        path: the folder; made if it is not there.
        config: the run's resolved settings; an entry `about` may differ when the run is continued.

    Raises:
        ValueError: if the folder holds a run with other settings, or cannot be made or written.

    Example:
        >>> import tempfile
        >>> from recipes.workdir import Workdir
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Workdir(folder, {"epochs": 2}).finished
        False
    """

    def __init__(self, path: str | pathlib.Path, config: dict) -> None:
        self.path, self.config = pathlib.Path(path), config
        if not kerassl.engine.is_chief():
            return
        file = self.path / "config.json"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                write_text(file, json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise ValueError(
                f"--workdir={path} cannot be written: {error}. Choose a folder that can be made and written."
            ) from error
        self._refuse_others(json.loads(file.read_text()), json.loads(json.dumps(config)))

    def _refuse_others(self, there: dict, here: dict) -> None:
        names = sorted((there.keys() | here.keys()) - {"about"})
        differing = [name for name in names if there.get(name) != here.get(name)]
        if differing:
            what = "; ".join(
                f"{name} is {there.get(name)!r} there, {here.get(name)!r} here" for name in differing
            )
            raise ValueError(
                f"{self.path} holds a run with other settings: {what}. "
                "Choose another --workdir, or repeat the settings of that run to continue it."
            )

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> pathlib.Path:
        """One JSON line per epoch."""
        return self.path / METRICS

    @property
    def finished(self) -> bool:
        """Whether the run has been trained and evaluated."""
        return (self.path / RESULT).exists()

    @property
    def result(self) -> dict:
        """What the evaluation of a finished run found."""
        return json.loads((self.path / RESULT).read_text())

    def finish(self, result: dict) -> None:
        """Stores what the evaluation found and marks the run as finished."""
        write_text(self.path / RESULT, json.dumps(result, indent=2) + "\n")

    def forget_metrics_after(self, epoch: int) -> None:
        """Drops the lines of epochs that will be trained again."""
        lines = [line for line in read_metrics(self.metrics) if line["epoch"] <= epoch]
        write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in lines))


class Journal(keras.callbacks.Callback):
    """Writes an epoch's logs when the epoch ends.

    Args:
        workdir: where to.
        stop_after: epochs after which to stop, to be continued; `None` for no stop.
    """

    def __init__(self, workdir: Workdir, stop_after: int | None = None) -> None:
        super().__init__()
        self.workdir, self.stop_after = workdir, stop_after
        self.epochs_here = 0
        self.started = 0.0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Drops what an interrupted run wrote after its last checkpoint."""
        if kerassl.engine.is_chief():
            self.workdir.forget_metrics_after(self.model.clock.epoch)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the line; one without its checkpoint is dropped when the run continues."""
        model = self.model
        self.epochs_here += 1
        if self.epochs_here == self.stop_after:
            model.stop_training = True
        if not kerassl.engine.is_chief():
            return
        line = {
            "epoch": epoch + 1,
            **{name: float(value) for name, value in (logs or {}).items()},
            "learning_rate": float(ops.convert_to_numpy(model.optimizer.learning_rate)),
            "seconds": round(time.perf_counter() - self.started, 3),
        }
        with self.workdir.metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_metrics(path: pathlib.Path) -> list[dict]:
    """The lines of a `metrics.jsonl`; a last one that was cut off is left out."""
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return lines


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
