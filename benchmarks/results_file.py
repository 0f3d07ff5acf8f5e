"""Where a benchmark's numbers go: one JSON file with the command, versions and date that produced it."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import resource
import shlex
import sys

PACKAGES = ("keras", "tensorflow", "jax", "torch", "torchvision", "lightly", "timm", "numpy")


def describe_run() -> dict:
    """The command, date, machine and package versions of this process."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    # Folders are the machine's own; a file's name says enough.
    arguments = [re.sub(r"=.*/", "=", a) for a in sys.argv[1:] if not a.startswith("--output")]
    module = pathlib.Path(sys.argv[0]).stem
    return {
        "command": shlex.join(["python", "-m", f"benchmarks.{module}", *arguments]),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": versions,
    }


def peak_memory_mib() -> float:
    """Peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(path, results: dict) -> None:
    """Writes a result file."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {path}")


def add(path, name: str, results: dict) -> None:
    """Adds results under a name to a file that holds those of others, in alphabetical order."""
    path = pathlib.Path(path)
    held = json.loads(path.read_text()) if path.exists() else {}
    write(path, dict(sorted({**held, name: results}.items())))
