"""How `SSLModel.fit` resumes a run from a checkpoint."""

from collections.abc import Callable

import keras
from keras import ops

from kerassl.data import can_skip_batches, fingerprint, skip_batches
from kerassl.training.checkpoint import Checkpoint, Position
from kerassl.training.one_run import OneRun
from kerassl.training.run_record import differing_facts, listed, model_settings


def split_callbacks(callbacks: object) -> tuple[list, Checkpoint | None]:
    """The callbacks without the checkpoint, and the checkpoint.

    Raises:
        ValueError: for more than one checkpoint, and for Keras' `BackupAndRestore`.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    callbacks = keras.tree.flatten(callbacks) if callbacks else []
    checkpoints = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
    if len(checkpoints) > 1:
        raise ValueError(f"One Checkpoint is needed among the callbacks, got {len(checkpoints)}.")
    if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
        raise ValueError(
            "keras.callbacks.BackupAndRestore restores weights after fit has set the length of the run and "
            "the order of the data: schedules, teachers and order would be wrong. Use "
            "kerassl.callbacks.Checkpoint(folder), which resumes exactly."
        )
    others = [callback for callback in callbacks if not isinstance(callback, Checkpoint)]
    return others, checkpoints[0] if checkpoints else None


def restore(
    model: keras.Model,
    checkpoint: Checkpoint,
    x: object,
    length: int | None,
    pass_length: int | None,
    steps_per_epoch: int | None,
    epochs: int,
) -> Position | None:
    """Where the run of a checkpoint folder stands, its state loaded, or `None` for a new run.

    The folder is locked from here on, until `fit` ends.

    Args:
        model: the compiled model.
        checkpoint: the callback.
        x: the data.
        length: batches per epoch, or `None` if unknown.
        pass_length: batches of one pass over the data, or `None` if unknown.
        steps_per_epoch: the argument of `fit`, unless the data's epochs have that length.
        epochs: the epoch to stop at.

    Raises:
        ValueError: for a folder that cannot be written, is in use or holds another run, and for data that
            cannot be entered within an epoch where that is needed.
    """
    skips = checkpoint.within_epochs = can_skip_batches(x, length, steps_per_epoch)
    needs = (
        "data that can be entered within an epoch: an array of images, a PyDataset with a length, or a "
        f"tf.data.Dataset that knows its length; got a {type(x).__name__}"
    )
    if checkpoint.every_steps and not skips:
        raise ValueError(
            f"Checkpoint(every_steps={checkpoint.every_steps}) needs {needs}. Leave out every_steps to "
            "save at the ends of epochs."
        )
    if not skips and pass_length not in (None, length):
        raise ValueError(
            f"With steps_per_epoch={length} an epoch ends within a pass over {pass_length} batches. A "
            f"Checkpoint then needs {needs}. Leave out steps_per_epoch, or pass such data."
        )
    checkpoint.lock()
    try:
        checkpoint.prepare(model)
        here = {
            "settings": model_settings(model),
            "data": fingerprint(x, length),
            "epochs": epochs,
            "backend": keras.backend.backend(),
        }
        # A model that was trained in this process is fitted further.
        itself = int(ops.convert_to_numpy(model.clock.step)) > 0
        position = checkpoint.restore(model, epochs)
        if position is not None:
            _refuse_other_data(checkpoint, position, skips, needs, length, here["data"])
            if itself:
                here["settings"] = checkpoint.record.get("settings", here["settings"])
        checkpoint.record = here
        return position
    except BaseException:
        checkpoint.unlock()
        raise


def _refuse_other_data(
    checkpoint: Checkpoint, position: Position, skips: bool, needs: str, length: int | None, facts: dict
) -> None:
    """Raises unless a run can resume with this data from its position."""
    if position.batch:
        where = f"The run in {checkpoint.folder} stopped after batch {position.batch} of an epoch"
        if not skips:
            raise ValueError(f"{where}; to go on it needs {needs}.")
        if position.steps_per_epoch != length:
            raise ValueError(
                f"{where} of {position.steps_per_epoch} batches, but the data has {length} now. Pass the "
                "same data and batch size."
            )
    there = checkpoint.record.get("data", {"steps_per_epoch": position.steps_per_epoch or length})
    found = differing_facts(there, facts)
    if found:
        raise ValueError(
            f"The run in {checkpoint.folder} was trained on other data: {listed(found)}. Pass the same data "
            "and batch size to go on, or choose another folder for a new run."
        )


def fit(
    model: keras.Model,
    train: Callable,
    checkpoint: Checkpoint,
    position: Position | None,
    x: object,
    callbacks: list,
    epochs: int,
    initial_epoch: int,
    length: int | None,
    options: dict,
) -> keras.callbacks.History:
    """Trains what is left of a run, then unlocks its folder.

    Args:
        model: the model, its state restored.
        train: `keras.Model.fit` of the model.
        checkpoint: the callback.
        position: where the run stands; `None` for a new one.
        x: the data.
        callbacks: all callbacks, the checkpoint among them.
        epochs: the epoch to stop at.
        initial_epoch: the epoch from which the whole run started.
        length: batches per epoch, or `None` if unknown.
        options: further arguments of `train`.

    Returns:
        The history of what was trained here.
    """
    try:
        return _fit(model, train, checkpoint, position, x, callbacks, epochs, initial_epoch, length, options)
    finally:
        checkpoint.unlock()


def _fit(
    model: keras.Model,
    train: Callable,
    checkpoint: Checkpoint,
    position: Position | None,
    x: object,
    callbacks: list,
    epochs: int,
    initial_epoch: int,
    length: int | None,
    options: dict,
):
    epoch, batch = (position.epoch, position.batch) if position else (initial_epoch, 0)
    if position is not None:
        if epoch >= epochs:
            print(f"The run in {checkpoint.folder} is complete: {epoch} epochs. Nothing was trained.")
            model.history = keras.callbacks.History()
            model.history.on_train_begin()
            return model.history
        print(f"Continuing at epoch {epoch + 1}, batch {batch + 1}{f' of {length}' if length else ''}.")
        if checkpoint.within_epochs and not batch:
            x = skip_batches(x, epoch - initial_epoch, 0, length)
    with checkpoint.preemption():
        if not batch:
            return train(x, epochs=epochs, initial_epoch=epoch, callbacks=callbacks, **options)
        return _fit_from_within(
            model, train, x, callbacks, epochs, position, epoch - initial_epoch, length, options
        )


def _fit_from_within(
    model: keras.Model,
    train: Callable,
    x: object,
    callbacks: list,
    epochs: int,
    position: Position,
    epochs_before: int,
    length: int,
    options: dict,
):
    """Trains the rest of an interrupted epoch, then the whole ones."""
    verbose = options.get("verbose", "auto")
    run = OneRun(
        callbacks,
        offset=position.batch,
        resumed=[(variable, ops.convert_to_numpy(variable)) for variable in model.metrics_variables],
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=length,
        model=model,
    )
    first = skip_batches(x, epochs_before, position.batch, length)
    part = {**options, "callbacks": run}
    if options["steps_per_epoch"]:
        part["steps_per_epoch"] = length - position.batch
    train(first, epochs=position.epoch + 1, initial_epoch=position.epoch, **part)
    if model.stop_training or position.epoch + 1 == epochs:
        run.finish()
        return model.history
    run.next_part()
    if hasattr(x, "epoch"):
        x.epoch = first.epoch
    rest = skip_batches(x, epochs_before + 1, 0, length)
    return train(rest, epochs=epochs, initial_epoch=position.epoch + 1, **{**options, "callbacks": run})
