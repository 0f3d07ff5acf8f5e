"""Checkpoints from which a run goes on exactly where it was interrupted."""

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
import zlib
from collections.abc import Iterator

import keras
import numpy as np

from kerassl import engine
from kerassl.engine.keras_internals import model_of

METRICS, POSITION = "metrics.npz", "position.json"


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
    """Saves everything that a run needs to go on bit for bit, and lets the same script go on.

    `SSLModel.fit` finds it among its callbacks, restores the newest checkpoint of the folder and trains
    what is left of the run. A checkpoint is one `.keras` file, `step_00000120.keras`, with weights,
    optimizer, teacher, queue, centre, probe, step counter and, as further members of the zip, the metrics
    and the position in the epoch. It is written under another name, flushed to disk and then renamed, so a
    kill leaves the last one whole; a file damaged afterwards is found by its checksums and the one before
    it is used.

    On SIGTERM the run saves after the current batch and exits with status 0; a run of several processes
    ends at once and goes on from its last checkpoint. Callbacks of your own keep no state over a restart.

    Args:
        folder: where the checkpoints are; made if it is not there.
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
            raise ValueError(f"keep and every_steps must be at least 1, but {keep} and {every_steps} came.")
        self.folder = pathlib.Path(folder)
        self.every_steps = every_steps
        self.keep = keep
        self.within_epochs = True
        self._asked_to_stop = False
        self._saved_at: int | None = None
        # Within an epoch: the epoch, the steps at its first batch and at the last look, its batches done.
        self._epoch = self._first_step = self._looked_at = self._batches = 0
        self._new_epoch = True

    def files(self) -> list[pathlib.Path]:
        """The checkpoints in the folder, oldest first."""
        found = [path for path in self.folder.glob("step_*.keras") if path.stem[5:].isdigit()]
        return sorted(found, key=lambda path: int(path.stem[5:]))

    def latest(self) -> pathlib.Path | None:
        """The newest whole checkpoint, or `None`."""
        return next((path for path in reversed(self.files()) if damage(path) is None), None)

    def prepare(self, model: keras.Model) -> None:
        """Raises before any training if checkpoints could not be written later.

        Args:
            model: the compiled model.

        Raises:
            ValueError: if the folder cannot be made or written, or if the disk has too little space.
        """
        if not engine.is_chief():
            return
        keras.saving.serialize_keras_object(model)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / "partial_writable"
            probe.write_bytes(b"0")
            probe.unlink()
        except OSError as error:
            raise ValueError(
                f"Checkpoints cannot be written to {self.folder}: {error}. Choose a folder that can be made "
                "and written."
            ) from error
        size = checkpoint_bytes(model)
        missing = max(self.keep + 1 - len(self.files()), 1)
        free = shutil.disk_usage(self.folder).free
        if free < missing * size:
            raise ValueError(
                f"{self.folder} has {free / 1e6:.1f} MB free, but {missing} checkpoints of "
                f"{size / 1e6:.1f} MB need {missing * size / 1e6:.1f} MB. Free some space, choose another "
                f"folder, or keep fewer checkpoints (keep={self.keep})."
            )

    def restore(self, model: keras.Model) -> Position | None:
        """Loads the newest whole checkpoint into a compiled model.

        A damaged file is named in a warning and set aside as `step_*.torn`; what a killed run left half
        written is deleted.

        Args:
            model: a model made and compiled as that of the checkpoint was.

        Returns:
            Where the run stands, or `None` without a checkpoint.

        Raises:
            ValueError: if the checkpoint is that of another model.
        """
        if engine.is_chief():
            for path in self.folder.glob("partial_*"):
                path.unlink(missing_ok=True)
        for path in reversed(self.files()):
            problem = damage(path)
            if problem is None:
                return self._load(model, path)
            warnings.warn(
                f"The checkpoint {path} is damaged: {problem}. The one before is used.", stacklevel=2
            )
            if engine.is_chief():
                path.rename(path.with_suffix(".torn"))
        return None

    def _load(self, model: keras.Model, path: pathlib.Path) -> Position:
        try:
            with warnings.catch_warnings():
                # Keras would go on with a fresh optimizer.
                warnings.filterwarnings("error", message="Skipping variable loading")
                model.load_weights(path)
            with zipfile.ZipFile(path) as archive:
                values = np.load(io.BytesIO(archive.read(METRICS)))
                position = Position(**json.loads(archive.read(POSITION)))
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
                write(model, position, pathlib.Path(elsewhere, path.name))
            return path
        partial = self.folder / f"partial_{step:08d}.keras"
        try:
            write(model, position, partial)
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
    """What is wrong with a checkpoint file, or `None` if all its checksums hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            missing = {METRICS, POSITION, "model.weights.h5"} - set(archive.namelist())
            if missing:
                return f"it has no {', '.join(sorted(missing))}"
            broken = archive.testzip()
            return None if broken is None else f"the checksum of {broken} is wrong"
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError) as error:
        return str(error) or type(error).__name__


def write(model: keras.Model, position: Position, path: pathlib.Path) -> None:
    """Writes a model, its metrics and its position to a `.keras` file and flushes it to disk."""
    model.save(path)
    metrics = io.BytesIO()
    values = [keras.ops.convert_to_numpy(variable) for variable in model.metrics_variables]
    np.savez(metrics, **{str(index): value for index, value in enumerate(values)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METRICS, metrics.getvalue())
        archive.writestr(POSITION, json.dumps(dataclasses.asdict(position)))
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
