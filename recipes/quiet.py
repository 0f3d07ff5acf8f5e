"""Imports without what backends log of their insides, before a launcher says anything."""

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def import_quietly(name: str) -> None:
    """Imports a module, if it is installed; TF_CPP_MIN_LOG_LEVEL=0 lets it tell all.

    Args:
        name: such as "keras", which imports the backend.
    """
    if name not in sys.modules and importlib.util.find_spec(name) is not None:
        with _without_log():
            importlib.import_module(name)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    if os.environ.setdefault(LEVEL, "3") in ("0", "1"):
        yield
        return
    # TensorFlow reads the variable only after it has logged, from C++, past sys.stderr.
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
