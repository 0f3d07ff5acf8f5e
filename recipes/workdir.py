"""A folder that holds one run: its settings, its checkpoints, what it measured."""

import json
import os
import pathlib
import time
import warnings

import keras
from keras import ops

import kerassl

from .build import default_views
from .names import METHODS

CONFIG, RESULT, METRICS = "config.json", "result.json", "metrics.jsonl"
# Entries of `about` that say what the data is; a continued run must have the same.
DATA = (
    "image_shape",
    "num_classes",
    "class_names",
    "num_train",
    "num_test",
    "num_labels",
    "num_images",
    "steps_per_epoch",
    "train_data",
    "test_data",
)


class Workdir:
    """The files of one run.

    Settings and data of a run that has a checkpoint or a result stay as they are; before, others take their
    place. Of several processes only the first one checks and writes.

    Args:
        path: the folder; made if it is not there. `~` is the home folder.
        config: the run's resolved settings. What its entry `about` says of the data must stay, too; versions
            and the backend may change.
        extendable: whether the launcher can lengthen a run.

    Raises:
        ValueError: if the folder holds a run with other settings or data, cannot be made or written, or if
            another process is to be disturbed.

    Example:
        >>> import tempfile
        >>> from recipes.workdir import Workdir
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Workdir(folder, {"epochs": 2}).finished
        False
    """

    def __init__(self, path: str | pathlib.Path, config: dict, extendable: bool = False) -> None:
        self.path, self.config = pathlib.Path(path).expanduser(), config
        self.extendable = extendable
        if not kerassl.engine.is_chief():
            return
        here = json.loads(json.dumps(config))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            there = self._stored()
            differing = there is not None and _differences(there, here)
            if differing and self.begun:
                self._refuse(differing, there, here)
            if differing and self.in_use:
                raise ValueError(
                    f"Another process has just begun a run with other settings in {self.path}: "
                    f"{'; '.join(differing)}. Choose another --workdir."
                )
            if there is None or differing:
                self._store(config)
        except OSError as error:
            raise ValueError(
                f"--workdir={path} cannot be written: {error}. Choose a folder that can be made and written."
            ) from error
        backends = [(settings.get("about") or {}).get("backend") for settings in (there or {}, here)]
        if self.begun and None not in backends and backends[0] != backends[1]:
            print(f"{self.path} was begun on {backends[0]} and goes on with {backends[1]}: not bit for bit.")

    def _stored(self) -> dict | None:
        """The settings in the folder; `None` if there are none, or none that can be read."""
        file = self.path / CONFIG
        if not file.exists():
            return None
        try:
            return read_json(file)
        except ValueError as error:
            if self.finished:
                raise ValueError(
                    f"{error} Put a whole copy in its place, or choose another --workdir."
                ) from error
            # The checkpoints know the model and the data, and refuse others.
            print(f"{error} It is written anew with the settings of this command.")
            return None

    def _store(self, config: dict) -> None:
        write_text(self.path / CONFIG, json.dumps(config, indent=2) + "\n")

    def _refuse(self, differing: list[str], there: dict, here: dict) -> None:
        advice = "Choose another --workdir, or repeat the settings and the data of that run to continue it."
        epochs = there.get("epochs"), here.get("epochs")
        if self.extendable and all(isinstance(count, int) for count in epochs) and epochs[0] < epochs[1]:
            advice += (
                f" To train it longer, repeat --epochs={epochs[0]} and add --extend={epochs[1]}: schedules "
                f"are then those of {epochs[1]} epochs, from the current step on."
            )
        raise ValueError(f"{self.path} holds a run with other settings: {'; '.join(differing)}. {advice}")

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    @property
    def in_use(self) -> bool:
        """Whether another process trains here."""
        return kerassl.callbacks.Checkpoint(self.checkpoints).in_use()

    @property
    def metrics(self) -> pathlib.Path:
        """One JSON line per epoch."""
        return self.path / METRICS

    @property
    def begun(self) -> bool:
        """Whether the run, or a part of it in a folder of its own, has a checkpoint or a result."""
        return any(
            next(self.path.glob(pattern), None)
            for pattern in (RESULT, f"*/{RESULT}", "checkpoints/step_*.keras", "*/checkpoints/step_*.keras")
        )

    @property
    def finished(self) -> bool:
        """Whether the run has been trained and evaluated; a result that cannot be read is made again."""
        file = self.path / RESULT
        if not file.exists():
            return False
        try:
            read_json(file)
        except ValueError as error:
            print(f"{error} The evaluation is repeated.")
            return False
        return True

    @property
    def result(self) -> dict:
        """What the evaluation of a finished run found."""
        return read_json(self.path / RESULT)

    def finish(self, result: dict) -> None:
        """Stores what the evaluation found and marks the run as finished."""
        write_text(self.path / RESULT, json.dumps(result, indent=2) + "\n")

    def extend(self, epochs: int | None) -> int:
        """Lengthens a run that has begun, and says how many epochs it has.

        The settings stay those that follow from the run's first length; schedules are those of a run of all
        epochs, from the current step on. The same command continues a lengthened run to its new end, with or
        without `epochs`. The table of its first length is kept as `result_4_epochs.json`.

        Args:
            epochs: in all; `None` for as many as the run has already.

        Raises:
            ValueError: for fewer epochs than the run has, for a run without a checkpoint, and for one that
                another process trains.
        """
        about = dict(self.config.get("about", {}))
        if (self.path / CONFIG).exists():
            about["extended"] = (read_json(self.path / CONFIG).get("about") or {}).get("extended", [])
        extended = about.pop("extended", [])
        now = extended[-1]["epochs"] if extended else self.config["epochs"]
        total = epochs or now
        if total < now:
            raise ValueError(
                f"--extend={epochs} is less than the {now} epochs that the run in {self.path} has. Pass "
                "more, or leave it out."
            )
        if total > now and kerassl.engine.is_chief():
            newest = kerassl.callbacks.Checkpoint(self.checkpoints).latest()
            if newest is None:
                raise ValueError(
                    f"--extend={epochs} lengthens a run that has begun, but {self.path} has no checkpoint. "
                    f"Pass --epochs={epochs}."
                )
            if self.in_use:
                raise ValueError(
                    f"Another process trains in {self.path}. Wait for it before you extend the run."
                )
            extended = [*extended, {"from_step": int(newest.stem[5:]), "epochs": total}]
            self._store({**self.config, "about": {**about, "extended": extended}})
            if (self.path / RESULT).exists():
                (self.path / RESULT).rename(self.path / f"result_{now}_epochs.json")
        if total != self.config["epochs"]:
            self.config = {**self.config, "epochs": total}
        return total

    def forget_metrics_after(self, epoch: int) -> None:
        """Drops the lines of epochs that will be trained again."""
        lines = [line for line in read_metrics(self.metrics) if line["epoch"] <= epoch]
        write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in lines))


def _differences(there: dict, here: dict) -> list[str]:
    """The settings and the facts of the data that differ, each in words."""
    there, here = _as_now(there), _as_now(here)
    differing = _different(there, here, sorted((there.keys() | here.keys()) - {"about"}))
    before, now = there.get("about") or {}, here.get("about") or {}
    # An older version said less.
    return differing + _different(before, now, [name for name in DATA if name in before and name in now])


def _as_now(config: dict) -> dict:
    """Settings by their present names, default views by theirs."""
    method = METHODS.get(config.get("method"))
    if method is None:
        return config
    changes = {"method_args": method.renamed(config.get("method_args") or {})}
    if config.get("views") == "default":
        changes["views"] = default_views(method, config.get("dataset"))
    return {**config, **changes}


def _different(there: dict, here: dict, names: list[str]) -> list[str]:
    return [
        f"{name} is {there.get(name)!r} there, {here.get(name)!r} here"
        for name in names
        if there.get(name) != here.get(name)
    ]


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


def read_json(path: pathlib.Path) -> dict:
    """The object in a file of a workdir.

    Raises:
        ValueError: for a file that cannot be read, is cut off or holds something else; it names the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got a {type(content).__name__}.")
    return content


def read_metrics(path: pathlib.Path) -> list[dict]:
    """The lines of a `metrics.jsonl`, without broken ones; a last one that was cut off is left out silently.

    Args:
        path: the file, which need not be there.
    """
    texts = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    lines = []
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
            epoch = line["epoch"]
        except (ValueError, TypeError, KeyError):
            line, epoch = None, None
        if isinstance(line, dict) and isinstance(epoch, int):
            lines.append(line)
        elif number < len(texts) or line is not None:
            warnings.warn(
                f"{path}, line {number}, is no JSON object with an epoch, and is left out: {text[:40]!r}.",
                stacklevel=2,
            )
    return lines


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
