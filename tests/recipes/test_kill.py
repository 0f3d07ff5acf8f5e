"""A run killed at random points and started again ends as one that never was interrupted, bit for bit."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from recipes.workdir import read_metrics

# It is about files; tests/callbacks/test_checkpoint.py kills runs on the other backends.
pytestmark = pytest.mark.backends("torch")
SCRIPT = pathlib.Path(__file__).with_name("train_and_die.py")


def start(workdir, kind="never", step=0):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), str(workdir), kind, str(step)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_five_kills_leave_no_trace(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = start(whole)
    assert done.returncode == 0, done.stderr[-3000:]

    rng = np.random.default_rng(0)
    steps = np.sort(rng.choice(np.arange(1, 23), 5, replace=False))
    kinds = rng.permutation(["batch", "batch", "batch", "fsync", "replace"])
    for kind, step in zip(kinds, steps, strict=True):
        done = start(killed, kind, step)
        assert done.returncode == -signal.SIGKILL, (kind, step, done.stderr[-3000:])
        assert any(killed.glob("checkpoints/partial_*")) == (kind != "batch")
    done = start(killed)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Continuing at epoch" in done.stdout

    expected, found = (np.load(folder / "state.npz") for folder in (whole, killed))
    assert expected.files == found.files and len(found.files) > 90
    for name in expected.files:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)

    lines = [read_metrics(folder / "metrics.jsonl") for folder in (whole, killed)]
    for line in lines[0] + lines[1]:
        assert line.pop("seconds") > 0
    assert lines[0] == lines[1] and [line["epoch"] for line in lines[0]] == [1, 2, 3, 4]
    folders = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (whole, killed)]
    assert folders[0] == folders[1] and len(folders[0]) == 3
