"""Checkpoints from which a run resumes exactly where it was interrupted."""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import re
import shutil
import signal
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Iterator

import keras
import numpy as np

from kerassl import engine
from kerassl.engine.keras_internals import model_of
from kerassl.training.folder_lock import FolderLock
from kerassl.training.run_record import differing_settings, listed, model_settings

METRICS, POSITION, RECORD, WEIGHTS = "metrics.npz", "position.json", "run.json", "model.weights.h5"
# Nine digits and more have no zero in front.
_NAME = re.compile(r"(step|partial)_(\d{8}|[1-9]\d{8,})\.keras")


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run stands.

    Attributes:
        epoch: epochs done.
        batch: batches of the next epoch done.
        steps_per_epoch: batches per epoch; 0 if unknown.
    """

    epoch: int
    batch: int
    steps_per_epoch: int


class Checkpoint(keras.callbacks.Callback):
    """Saves everything that a run needs to resume bit for bit; the same script resumes it.

    `SSLModel.fit` finds it among its callbacks, restores the newest checkpoint of the folder and trains
    what is left of the run. A checkpoint is one `.keras` file, `step_00000120.keras`, with weights,
    optimizer, teacher, queue, center, probe, step counter and, as further members of the zip, the metrics,
    the position in the epoch, and the settings and data with which the run began. It is written under another
    name, flushed to disk and then renamed, so a kill leaves the last one whole; a file damaged afterwards is
    found by its checksums and the one before it is used.

    A run resumes only with the settings and the data that it began with; the number of epochs and the lengths
    of schedules may grow. One process at a time writes to a folder; other files in it are left alone.

    On SIGTERM the run saves after the current batch and exits with status 0; a run of several processes
    ends at once and resumes from its last checkpoint. Callbacks of your own keep no state over a restart.

    Args:
        folder: where the checkpoints are; made if it is not there. `~` is the home folder.
        every_steps: batches between two checkpoints within an epoch; `None` for the ends of epochs only,
            which are always saved. Needs data that can be entered within an epoch: arrays, a `PyDataset`
            with a length or a `tf.data.Dataset`.
        keep: newest checkpoints to keep; older ones are deleted after a new one is whole.

    Raises:
        ValueError: for `keep` or `every_steps` below 1.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import kerassl
        >>> images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype="uint8")
        >>> def train(folder, epochs):
        ...     encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small")
        ...     model = kerassl.methods.SimCLR(encoder)
        ...     checkpoint = kerassl.callbacks.Checkpoint(folder)
        ...     model.fit(images, batch_size=4, epochs=epochs, verbose=0, callbacks=[checkpoint])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     train(folder, epochs=1)
        ...     train(folder, epochs=2)
        Continuing at epoch 2, batch 1 of 2.
    """

    def __init__(self, folder: str | os.PathLike, every_steps: int | None = None, keep: int = 3) -> None:
        super().__init__()
        if keep < 1 or (every_steps is not None and every_steps < 1):
            raise ValueError(f"keep and every_steps must be at least 1; got {keep} and {every_steps}.")
        self.folder = pathlib.Path(folder).expanduser()
        self.every_steps = every_steps
        self.keep = keep
        self.within_epochs = True
        self._lock = FolderLock(self.folder)
        # What the run began with: `settings`, `data`, `epochs`, `backend`.
        self.record: dict = {}
        self._asked_to_stop = False
        self._saved_at: int | None = None
        # Within an epoch: the epoch, the steps at its first batch and at the last look, its batches done.
        self._epoch = self._first_step = self._looked_at = self._batches = 0
        self._new_epoch = True

    def files(self) -> list[pathlib.Path]:
        """The checkpoints in the folder, oldest first."""
        return sorted(self._own("step"), key=lambda path: int(path.stem[5:]))

    def _own(self, kind: str) -> list[pathlib.Path]:
        found = (path for path in self.folder.glob(f"{kind}_*.keras") if _NAME.fullmatch(path.name))
        return [path for path in found if path.is_file()]

    def latest(self) -> pathlib.Path | None:
        """The newest whole checkpoint, or `None`."""
        return next((path for path in reversed(self.files()) if damage(path) is None), None)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Within this context no other process writes to the folder, which is made if it is not there.

        Raises:
            ValueError: if another process does already, or if the folder cannot be made or written.
        """
        self.lock()
        try:
            yield
        finally:
            self.unlock()

    def lock(self) -> None:
        """Keeps other processes from the folder, until `unlock`; see `locked`."""
        if engine.is_chief():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
            except OSError as error:
                raise self._unwritable(error) from error

    def unlock(self) -> None:
        """Lets other processes into the folder."""
        if engine.is_chief():
            self._lock.release()

    def in_use(self) -> bool:
        """Whether another process writes to the folder."""
        return self._lock.owner() is not None

    def _unwritable(self, error: OSError) -> ValueError:
        return ValueError(
            f"Checkpoints cannot be written to {self.folder}: {error}. Choose a folder that can be made "
            "and written."
        )

    def prepare(self, model: keras.Model) -> None:
        """Raises before any training if checkpoints could not be written later.

        Args:
            model: the compiled model.

        Raises:
            ValueError: if the folder cannot be made or written, if the disk has too little space, or if files
                of others have names of checkpoints.
        """
        if not engine.is_chief():
            return
        keras.saving.serialize_keras_object(model)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as probe:
                probe.write(b"0")
        except OSError as error:
            raise self._unwritable(error) from error
        foreign = [path.name for path in self.files() if _is_foreign(path)]
        if foreign:
            raise ValueError(
                f"{self.folder} holds models that are no checkpoints of a run, under names of checkpoints: "
                f"{', '.join(foreign[:3])}. Choose another folder, or rename them."
            )
        size = checkpoint_bytes(model)
        missing = max(self.keep + 1 - len(self.files()), 1)
        free = shutil.disk_usage(self.folder).free
        if free < missing * size:
            raise ValueError(
                f"{self.folder} has {free / 1e6:.1f} MB free, but {missing} checkpoints of "
                f"{size / 1e6:.1f} MB need {missing * size / 1e6:.1f} MB. Free some space, choose another "
                f"folder, or keep fewer checkpoints (keep={self.keep})."
            )

    def restore(self, model: keras.Model, epochs: int | None = None) -> Position | None:
        """Loads the newest whole checkpoint into a compiled model.

        A damaged file is named in a warning and set aside as `step_*.torn`; what a killed run left half
        written is deleted. `record` is then that of the run's beginning.

        Args:
            model: a model made and compiled as that of the checkpoint was.
            epochs: those of the whole run, with which the lengths of schedules may have grown.

        Returns:
            Where the run stands, or `None` without a checkpoint.

        Raises:
            ValueError: if the checkpoint is that of another model, or of one with other settings.
        """
        if engine.is_chief():
            for path in self._own("partial"):
                path.unlink(missing_ok=True)
        files = self.files()
        while files:
            path = files.pop()
            problem = damage(path)
            if problem is None:
                self._refuse_others(model, path, epochs)
                try:
                    return self._load(model, path)
                except (OSError, RuntimeError) as error:
                    problem = str(error)
            use = f"The one before is used, {files[-1].name}." if files else "None is left: the run is new."
            warnings.warn(
                f"The checkpoint {path} is damaged: {problem}. {use} It is set aside as "
                f"{path.with_suffix('.torn').name}; put a whole copy in its place to go on from there.",
                stacklevel=2,
            )
            if engine.is_chief():
                path.rename(path.with_suffix(".torn"))
        return None

    def _refuse_others(self, model: keras.Model, path: pathlib.Path, epochs: int | None) -> None:
        """Raises unless a model has the settings of a checkpoint's; remembers with what its run began."""
        with zipfile.ZipFile(path) as archive:
            if RECORD in archive.namelist():
                self.record = json.loads(archive.read(RECORD))
                there = self.record["settings"]
            else:
                self.record, there = {}, json.loads(archive.read("config.json"))
        same_length = self.record.get("epochs") is not None and self.record["epochs"] == epochs
        found = differing_settings(there, model_settings(model), lengths=same_length)
        itself = int(keras.ops.convert_to_numpy(model.clock.step)) == int(path.stem[5:])
        if itself or not self.record:
            # A callback may have changed the rate since the run began.
            found = [text for text in found if not text.startswith("optimizer.learning_rate is")]
        if found:
            raise ValueError(
                f"{path} does not fit this model: {listed(found)}. Make and compile the model as in the run "
                "that wrote it, or choose another folder for a new run."
            )
        backend = self.record.get("backend", keras.backend.backend())
        if backend != keras.backend.backend():
            warnings.warn(
                f"{path} was written on {backend}; {keras.backend.backend()} draws other random numbers. The "
                "run goes on, but not bit for bit.",
                stacklevel=3,
            )

    def _load(self, model: keras.Model, path: pathlib.Path) -> Position:
        try:
            with warnings.catch_warnings():
                # Keras would continue with a fresh optimizer.
                warnings.filterwarnings("error", message="Skipping variable loading")
                model.load_weights(path)
            with zipfile.ZipFile(path) as archive:
                values = _metrics(archive)
                position = _position(archive)
            for index, variable in enumerate(model.metrics_variables):
                variable.assign(values[str(index)])
        except (ValueError, KeyError, UserWarning) as error:
            raise ValueError(
                f"{path} does not fit this model: {error} Make and compile the model as in the run that "
                "wrote it, or choose another folder."
            ) from error
        self._saved_at = int(path.stem[5:])
        return position

    def save(self, epoch: int, batch: int) -> pathlib.Path:
        """Writes a checkpoint whole or not at all.

        Args:
            epoch: epochs done.
            batch: batches of the next epoch done.

        Returns:
            Its path.

        Raises:
            FloatingPointError: if the loss has become NaN; such a state is not saved.
            OSError: if it could not be written; the checkpoints before it are untouched.
        """
        model = self.model
        error = model.nonfinite_record.error()
        if error and model.nonfinite == "raise":
            raise error
        step = int(keras.ops.convert_to_numpy(model.clock.step))
        path = self.folder / f"step_{step:08d}.keras"
        self._saved_at = step
        position = Position(epoch, batch, int(keras.ops.convert_to_numpy(model.clock.steps_per_epoch)))
        if not engine.is_chief():
            # All processes must read the model alike, since weights may lie on several; one keeps the file.
            with tempfile.TemporaryDirectory() as elsewhere:
                write(model, position, self.record, pathlib.Path(elsewhere, path.name))
            return path
        partial = self.folder / f"partial_{step:08d}.keras"
        try:
            write(model, position, self.record, partial)
            os.replace(partial, path)
            flush(self.folder)
        except OSError as error:
            partial.unlink(missing_ok=True)
            last = self.files()
            raise OSError(
                error.errno,
                f"The checkpoint of step {step} could not be written to {self.folder} ({error}). "
                + (f"The last one, {last[-1].name}, is whole." if last else "There is none before it.")
                + " Free some space and run the same script again.",
            ) from error
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        for old in self.files()[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    @contextlib.contextmanager
    def preemption(self) -> Iterator[None]:
        """Within this context SIGTERM asks for a checkpoint and an exit with status 0 after the batch."""
        self._asked_to_stop = False
        # Several processes would stop at different batches, and wait for one another for ever.
        several = engine.process_index_and_count()[1] > 1
        if several or threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: object) -> None:
            self._asked_to_stop = True

        before = signal.signal(signal.SIGTERM, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the step, which the model has at hand between epochs only."""
        self._epoch, self._batches, self._new_epoch = epoch, 0, True
        self._looked_at = int(keras.ops.convert_to_numpy(self.model.clock.step))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Saves what the batches before made, if it is time or if SIGTERM came."""
        if self._new_epoch:
            self._new_epoch, self._first_step = False, self._looked_at - batch
        step = self._first_step + batch
        self._batches = batch + model_of(self).steps_per_execution
        due = self.every_steps and step // self.every_steps > self._looked_at // self.every_steps
        self._looked_at = step
        if self.within_epochs and step != self._saved_at and (due or self._asked_to_stop):
            self.save(self._epoch, batch)
        if self._asked_to_stop:
            self._stop()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the state between epochs."""
        steps = self.params.get("steps")
        if steps is None or self._batches >= steps:
            self.save(epoch + 1, 0)
        elif self.within_epochs:
            # Another callback stopped the run within the epoch.
            self.save(epoch, self._batches)
        if self._asked_to_stop:
            self._stop()

    def _stop(self) -> None:
        files = self.files()
        where = f"The same script goes on from {files[-1]}." if files else "There was nothing to save yet."
        print(f"\nStopped by SIGTERM. {where}", flush=True)
        raise SystemExit(0)


def damage(path: pathlib.Path) -> str | None:
    """What is wrong with a checkpoint file, or `None` if it is whole.

    Raises:
        PermissionError: for a file without read permission, whose contents are unknown.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            missing = {METRICS, POSITION, "config.json", WEIGHTS} - set(archive.namelist())
            if missing:
                return f"it has no {', '.join(sorted(missing))}"
            broken = archive.testzip()
            if broken is not None:
                return f"the checksum of {broken} is wrong"
            for name, read in _READERS.items():
                try:
                    read(archive)
                except Exception as error:
                    return f"{name} in it cannot be read ({error or type(error).__name__})"
    except PermissionError:
        raise
    except Exception as error:
        # A flipped bit gives errors of all kinds: of zipfile, zlib, struct, codecs, encryption.
        return str(error) or type(error).__name__
    return None


def _position(archive: zipfile.ZipFile) -> Position:
    position = Position(**json.loads(archive.read(POSITION)))
    if not all(isinstance(value, int) and value >= 0 for value in dataclasses.astuple(position)):
        raise ValueError(f"counts are needed, got {position}")
    return position


def _metrics(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(archive.read(METRICS)), allow_pickle=False) as values:
        return dict(values)


def _json(archive: zipfile.ZipFile, name: str, keys: tuple[str, ...]) -> None:
    if name in archive.namelist():
        missing = set(keys) - dict(json.loads(archive.read(name))).keys()
        if missing:
            raise ValueError(f"it has no {', '.join(sorted(missing))}")


_READERS = {
    POSITION: _position,
    METRICS: _metrics,
    "config.json": lambda archive: _json(archive, "config.json", ("class_name", "config")),
    RECORD: lambda archive: _json(archive, RECORD, ("settings", "data", "epochs", "backend")),
}


def _is_foreign(path: pathlib.Path) -> bool:
    """Whether a file is a whole model of Keras that no `Checkpoint` has written."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except Exception:
        return False
    return WEIGHTS in names and not names & {METRICS, POSITION, RECORD}


def write(model: keras.Model, position: Position, record: dict, path: pathlib.Path) -> None:
    """Writes a model, its metrics, position and run record to a `.keras` file and flushes it to disk."""
    model.save(path)
    metrics = io.BytesIO()
    values = [keras.ops.convert_to_numpy(variable) for variable in model.metrics_variables]
    np.savez(metrics, **{str(index): value for index, value in enumerate(values)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METRICS, metrics.getvalue())
        archive.writestr(POSITION, json.dumps(dataclasses.asdict(position)))
        if record:
            archive.writestr(RECORD, json.dumps(record), zipfile.ZIP_DEFLATED)
    flush(path)


def flush(path: pathlib.Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checkpoint_bytes(model: keras.Model) -> int:
    """Size of a model's checkpoint in bytes, estimated from its variables."""
    variables = {id(v): v for v in [*model.variables, *model.optimizer.variables, *model.metrics_variables]}
    content = sum(int(np.prod(v.shape)) * bits(v.dtype) // 8 for v in variables.values())
    # HDF5 takes some 800 bytes for a variable.
    return content + 1024 * len(variables) + 2**14


def bits(dtype: str) -> int:
    """Width of a number of this type."""
    return int((re.findall(r"\d+", str(dtype)) or [8])[0])
