"""The callbacks that watch every run."""

from collections.abc import Sequence

import keras

from kerassl.training.nonfinite_guard import NonfiniteGuard


def with_guards(callbacks: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """The callbacks of `fit` behind a `NonfiniteGuard` and, unless they look for collapse, a warning of it.

    Args:
        callbacks: that the user gave.
    """
    # Above this room.
    from kerassl.callbacks import CollapseGuard, Diagnostics

    guards = [NonfiniteGuard()]
    if not any(isinstance(callback, (CollapseGuard, Diagnostics)) for callback in callbacks):
        guards.append(CollapseGuard(stop=False))
    return [*guards, *callbacks]
