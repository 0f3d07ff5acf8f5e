"""What N devices must make of a global batch: what one device makes of it."""

import os

import numpy as np
from launch import train, train_in_two_processes
from tiny import METHODS

# One method of each kind of operation: gathered rows, sums, a teacher, a center, tokens, a queue, rows of
# images, singular values, numbers drawn alike, prototypes, weights of examples. All methods run in two
# processes of torch, which know of each other through the same few functions as the devices of TensorFlow;
# XLA cuts the whole step of JAX, whose code knows of no devices. `make test-devices` takes all everywhere.
FEW = (
    "SimCLR", "BarlowTwins", "BYOL", "DINO", "MAE", "MoCoV2", "SogCLR", "MMCR", "LeJEPA", "SwAV",
    "Classifier",
)  # fmt: skip
MANY = METHODS if os.environ.get("KERASSL_TEST_ALL_DEVICES") else FEW


# Of which JAX cuts the weights.
LAID_OUT = ("BYOL", "DINO", "MAE", "MSN")


def assert_equal(stored, reference, method):
    np.testing.assert_allclose(stored[f"{method}/loss"], reference[f"{method}/loss"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(stored[f"{method}/accuracy"], reference[f"{method}/accuracy"])
    keys = [key for key in reference.files if key.startswith(f"{method}/after one step/")]
    assert len(keys) > 10
    if f"{method}/features" in stored:
        # `predict` of 11 images by all devices, against one device.
        assert stored[f"{method}/features"] < 1e-4
    for key in keys:
        assert np.isfinite(reference[key]).all(), key
        np.testing.assert_allclose(stored[key], reference[key], rtol=1e-4, atol=1e-4, err_msg=key)


def devices_equal_one(backend, strategy, devices, methods, one_device, folder, *options):
    """Trains the methods on devices of one process and compares; all their copies must stay alike."""
    stored = train(folder, backend, strategy, devices, methods, *options)
    for method in methods:
        assert_equal(stored, one_device(backend), method)
        assert stored[f"{method}/copies"] == devices
        assert stored[f"{method}/spread"] == 0.0
    if devices > 2:
        np.testing.assert_allclose(stored["on two/loss"], stored[f"{methods[0]}/loss"], rtol=1e-5)
        assert stored["on two/copies"] == 2
    if "BYOL" in methods:
        assert np.isfinite(stored["raw/loss"]).all()
        # Two epochs of 37 images, of which the last five are left out.
        assert stored["raw/step"] == 4
        assert stored["raw/spread"] == 0.0


def two_processes_equal_one(backend, methods, one_device, folder):
    """Trains the methods in two processes and compares; both must hold the same in the end."""
    first, second = train_in_two_processes(folder, backend, methods)
    for method in methods:
        assert_equal(first, one_device(backend), method)
        for key in first.files:
            if key.startswith((f"{method}/at the end/", f"{method}/loss", "raw/")):
                np.testing.assert_array_equal(first[key], second[key], err_msg=key)
