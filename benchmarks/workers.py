"""Runs measurements in processes of their own."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Each side uses all cores, whatever the shell says.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def measure(command: list, **environment: str) -> dict:
    """Runs a worker and returns the JSON of its last line.

    Raises:
        RuntimeError: if it fails, with the end of its output.
    """
    command = [str(part) for part in command]
    done = subprocess.run(
        command, cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Worker:
    """A process that prepares once and measures on request, by `answer_rounds`.

    Args:
        command: of the process.
        **environment: added to that of this process.
    """

    def __init__(self, command: list, **environment: str) -> None:
        self.command = [str(part) for part in command]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env={**ENVIRONMENT, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def measure(self) -> dict:
        """The JSON of the next round; the first waits until the process is ready.

        Raises:
            RuntimeError: if it fails, with the end of its output.
        """
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        raise RuntimeError(f"{' '.join(self.command[1:4])} failed:\n{self.errors.read()[-2000:]}")

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()


def answer_rounds(measure: Callable[[], dict]) -> None:
    """The loop of a prepared worker: one measurement for each line of input."""
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)
