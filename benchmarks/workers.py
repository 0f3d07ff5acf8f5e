"""Runs a measurement in a process that holds nothing else."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Each side uses all cores, whatever the shell says.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def measure(command: list, **environment: str) -> dict:
    """Runs a worker and returns the JSON of its last line.

    Raises:
        RuntimeError: if it fails, with the end of what it said.
    """
    command = [str(part) for part in command]
    done = subprocess.run(
        command, cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
