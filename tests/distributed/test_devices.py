"""N devices on a global batch equal one device on that batch."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("train_on_devices.py")


def train(backend, name, devices, folder, *options):
    output = folder / f"{backend}_{name}_{devices}.npz"
    flags = f"--xla_force_host_platform_device_count={devices}" if backend == "jax" else ""
    environment = {**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": flags}
    command = [sys.executable, str(SCRIPT), name, str(devices), str(output), *options]
    subprocess.run(command, env=environment, check=True)
    stored = np.load(output)
    return [stored[key] for key in stored.files]


@pytest.mark.parametrize(
    ("backend", "name", "options"),
    [
        ("tensorflow", "SimCLR", ()),
        ("tensorflow", "BYOL", ()),
        ("tensorflow", "DINO", ("jit",)),
        ("jax", "BarlowTwins", ()),
    ],
)
def test_two_devices_equal_one(backend, name, options, tmp_path):
    one = train(backend, name, 1, tmp_path)
    two = train(backend, name, 2, tmp_path, *options)
    np.testing.assert_allclose(two[0], one[0], rtol=1e-5, atol=1e-5)
    for a, b in zip(one[1:], two[1:], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4)
