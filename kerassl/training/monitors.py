"""What the logs of a run will hold, and callbacks that wait for something else."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import keras

# Ends of names by which it is known whether more is better.
_HIGHER = ("accuracy", "rankme", "effective_rank", "feature_std", "lidar", "prototype_entropy")
_LOWER = ("loss", "uniformity", "alignment", "dead_prototypes")


def log_names(
    model: keras.Model, validation: bool = False, labeled: bool = True, validation_labeled: bool = True
) -> tuple[str, ...]:
    """The names that `fit` puts into the logs of an epoch, before any callback adds its own.

    Args:
        model: a compiled `SSLModel`.
        validation: whether `fit` has validation data, whose numbers begin with `val_`.
        labeled: whether the training data has labels.
        validation_labeled: whether the validation data has labels.

    Example:
        >>> import kerassl
        >>> from kerassl.training.monitors import log_names
        >>> encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small")
        >>> model = kerassl.methods.SimCLR(encoder, projection_dim=8)
        >>> model.compile("sgd")
        >>> log_names(model)
        ('loss', 'feature_std', 'effective_rank')
    """
    names = list(model.get_metrics_result())
    evaluated = [*names, "rankme"] if validation else []
    if validation and model.step_metrics.diagnostics is not None:
        evaluated += ["alpha_req", "uniformity", "alignment", "lidar", "tolerance"]
    if not labeled:
        names = [name for name in names if name != "probe_accuracy"]
    if not validation_labeled:
        evaluated = [name for name in evaluated if name != "probe_accuracy"]
    return (*names, *(f"val_{name}" for name in evaluated))


def check_monitors(
    callbacks: Sequence[keras.callbacks.Callback], names: Iterable[str], terms: Iterable[str] = ()
) -> None:
    """Raises `ValueError` for a callback of Keras that monitors what no log will hold.

    What a callback adds to the logs is there for those that come after it. Behind a callback of the user's
    own, which may add anything, nothing is checked. Callbacks in the mode "auto", in which Keras knows only
    its own metrics, are told whether more of what they monitor is better.

    Args:
        callbacks: in the order in which they run.
        names: what the logs hold before the first of them, see `log_names`.
        terms: names of loss terms among them.

    Raises:
        ValueError: names the callback, its monitor and the names that there will be; or asks for `mode=`
            where it is not known whether more is better.

    Example:
        >>> import keras
        >>> from kerassl.training.monitors import check_monitors
        >>> check_monitors([keras.callbacks.EarlyStopping(monitor="loss")], ["loss"])
    """
    there, lower = list(names), (*_LOWER, *terms)
    for place, callback in enumerate(callbacks):
        monitor: Any = getattr(callback, "monitor", None)
        # Other ModelCheckpoints save regardless of the value.
        monitors = isinstance(monitor, str) and getattr(callback, "save_best_only", True)
        if _is_of_keras(callback) and monitors and monitor not in there:
            later = [one for one in callbacks[place + 1 :] if monitor in getattr(one, "log_names", ())]
            near = difflib.get_close_matches(monitor, there, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            if later:
                hint = f"{type(later[0]).__name__} adds it: put that callback first. "
            elif monitor.startswith("val_") and not any(name.startswith("val_") for name in there):
                hint = "Pass validation_data= to fit for names that begin with val_. "
            raise ValueError(
                f"{type(callback).__name__} monitors {monitor!r}, which the logs will not hold. {hint}There "
                f"will be: {', '.join(there)}."
            )
        if _is_of_keras(callback) and monitors and getattr(callback, "mode", None) == "auto":
            if not monitor.endswith((*_HIGHER, *lower)) and not monitor.startswith("knn_"):
                raise ValueError(
                    f"{type(callback).__name__} monitors {monitor!r}: pass mode='max' if more of it is "
                    "better, or mode='min'."
                )
            callback.mode = "min" if monitor.endswith(lower) else "max"
        if not _is_of_keras(callback) and not type(callback).__module__.startswith("kerassl."):
            return
        there += getattr(callback, "log_names", ())
        if isinstance(callback, (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)):
            there.append("learning_rate")


def _is_of_keras(callback: keras.callbacks.Callback) -> bool:
    # A LambdaCallback runs what its user wrote.
    of_keras = type(callback).__module__.startswith("keras.")
    return of_keras and not isinstance(callback, keras.callbacks.LambdaCallback)
