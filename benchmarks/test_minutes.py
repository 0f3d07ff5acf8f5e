"""Seconds that the contract tests take of each method and backend, against their budget and earlier numbers.

    python -m benchmarks.test_minutes
    python -m benchmarks.test_minutes --output=benchmarks/results/test_minutes.json

Each backend runs tests/contract/test_life.py in one process. The exit status is 1 if a backend takes more
than 8 core-seconds a method, or a method half as much again as in benchmarks/results/test_minutes.json.
"""

import collections
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from absl import app, flags

from benchmarks.results_file import describe_run, write

OUTPUT = flags.DEFINE_string("output", None, "JSON file for the numbers; they are only printed if not given.")
BACKENDS = ("tensorflow", "jax", "torch")
BUDGET = 8.0
# Of a method that takes a second, half as much again is noise.
SLACK = 2.0
ROOT = pathlib.Path(__file__).parents[1]
STORED = ROOT / "benchmarks" / "results" / "test_minutes.json"


def measure(backend: str) -> dict:
    """Core-seconds of all methods on a backend, and seconds by method."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder, "report.xml")
        # An empty cache, so that a second measurement is like the first.
        environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_COMPILATION_CACHE_DIR": folder}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "tests/contract/test_life.py",
            f"--junitxml={report}",
        ]
        before = _core_seconds()
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
        spent = _core_seconds() - before
        seconds: dict[str, float] = collections.Counter()
        for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
            method = case.get("name").partition("[")[2].rstrip("]").removesuffix(" without chance")
            seconds[method] += float(case.get("time"))
    by_method = {name: round(value, 1) for name, value in sorted(seconds.items())}
    return {"core_seconds": round(spent), "a_method": round(spent / len(seconds), 1), "methods": by_method}


def _core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def too_slow(found: dict, earlier: dict) -> list[str]:
    """A line for a backend over the budget, and for each method that is slower than it was."""
    over = [f"{found['a_method']} core-seconds a method, more than {BUDGET:g}"]
    lines = over if found["a_method"] > BUDGET else []
    for method, seconds in found["methods"].items():
        if seconds > 1.5 * earlier.get(method, seconds) + SLACK:
            lines.append(f"{method}: {seconds} s, {earlier[method]} before")
    return lines


def main(_) -> None:  # noqa: ANN001
    """Measures all backends, prints and compares."""
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    results, slow = {}, []
    for backend in BACKENDS:
        results[backend] = found = measure(backend)
        slowest = sorted(found["methods"].items(), key=lambda item: -item[1])[:3]
        print(f"{backend}: {found['a_method']} core-seconds a method; {dict(slowest)}")
        earlier = stored.get("backends", {}).get(backend, {}).get("methods", {})
        slow += [f"{backend}, {line}" for line in too_slow(found, earlier)]
    print("\n".join(slow) or "Within the budget, and no method is slower than before.")
    if OUTPUT.value:
        write(OUTPUT.value, {**stored, "run": describe_run(), "budget_seconds": BUDGET, "backends": results})
    sys.exit(bool(slow))


if __name__ == "__main__":
    app.run(main)
