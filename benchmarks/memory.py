"""Resident memory of this process."""

import ctypes
import pathlib
from collections.abc import Callable


def growth_mib(call: Callable[[], object]) -> float | None:
    """Rise of resident memory during `call()`; `None` outside Linux."""
    process = pathlib.Path("/proc/self")
    if not (process / "clear_refs").exists():
        return None
    # Memory that the allocator kept from earlier calls would hide what this one takes.
    ctypes.CDLL(None).malloc_trim(0)
    # "5" sets the peak back to the present level.
    (process / "clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
