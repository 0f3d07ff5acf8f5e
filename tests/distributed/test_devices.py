"""N devices on a global batch equal one device on that batch, and stay alike."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from launch import train, train_in_two_processes

METHODS = ("SimCLR", "BarlowTwins", "BYOL", "DINO", "MAE", "SSLD")


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """What one device makes of each method, trained once for each backend."""

    @functools.cache
    def reference(backend):
        return train(tmp_path_factory.mktemp("one"), backend, "none", 1, METHODS)

    return reference


def assert_equal(stored, reference, method):
    np.testing.assert_allclose(stored[f"{method}/loss"], reference[f"{method}/loss"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(stored[f"{method}/probe_accuracy"], reference[f"{method}/probe_accuracy"])
    keys = [key for key in reference.files if key.startswith(f"{method}/after one step/")]
    assert len(keys) > 20
    # `predict` of 11 images by all devices, against one device.
    assert stored[f"{method}/features"] < 1e-4
    for key in keys:
        assert np.isfinite(reference[key]).all(), key
        np.testing.assert_allclose(stored[key], reference[key], rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.mark.parametrize(
    ("backend", "strategy", "devices", "methods", "options"),
    [
        ("tensorflow", "mirrored", 2, METHODS, ()),
        ("tensorflow", "mirrored", 4, ("BarlowTwins", "BYOL", "DINO"), ()),
        ("tensorflow", "mirrored", 2, ("DINO", "MAE"), ("jit",)),
        ("jax", "data_parallel", 2, ("SimCLR", "DINO"), ()),
        ("jax", "data_parallel", 4, ("BYOL", "MAE"), ()),
        ("jax", "data_parallel", 8, METHODS, ()),
    ],
)
def test_devices_equal_one(backend, strategy, devices, methods, options, one_device, tmp_path):
    stored = train(tmp_path, backend, strategy, devices, methods, *options)
    for method in methods:
        assert_equal(stored, one_device(backend), method)
        assert stored[f"{method}/copies"] == devices
        assert stored[f"{method}/spread"] == 0.0
    if "BYOL" in methods:
        assert np.isfinite(stored["raw/loss"]).all()
        # Two epochs of 37 images, of which the last five are left out.
        assert stored["raw/step"] == 4
        assert stored["raw/spread"] == 0.0


def test_weights_that_are_cut_equal_whole_ones(one_device, tmp_path):
    stored = train(tmp_path, "jax", "model_parallel", 4, ("BYOL", "DINO", "MAE"))
    for method in ("BYOL", "DINO", "MAE"):
        assert_equal(stored, one_device("jax"), method)
        assert stored[f"{method}/spread"] == 0.0
    cut = set(stored["DINO/cut"])
    assert {"head/prototypes", "teacher/head/prototypes", "dino/center"} <= cut
    for kernel in ("qkv", "projection", "mlp_hidden", "mlp_output"):
        assert sum(f"block1/{kernel}/kernel" in path for path in cut) == 2, kernel
    assert not len(stored["BYOL/cut"])


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_two_processes_equal_one(backend, one_device, tmp_path):
    first, second = train_in_two_processes(tmp_path, backend, METHODS)
    for method in METHODS:
        assert_equal(first, one_device(backend), method)
        for key in first.files:
            if key.startswith((f"{method}/at the end/", f"{method}/loss", "raw/")):
                np.testing.assert_array_equal(first[key], second[key], err_msg=key)


MADE_OUTSIDE = """
import keras, numpy as np, kerassl
model = kerassl.methods.SimCLR(keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]))
model.compile()
with kerassl.distribute("data_parallel"):
    try:
        model.fit(np.zeros((8, 8, 8, 1), "uint8"), batch_size=4, verbose=0)
    except ValueError as error:
        print(error)
"""


def test_a_model_made_outside_of_its_distribution_is_named():
    flags = "--xla_force_host_platform_device_count=2"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags}
    command = [sys.executable, "-W", "ignore", "-c", MADE_OUTSIDE]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert "lies on 1 of the 2 devices of the distribution: the model was made outside of it" in said
