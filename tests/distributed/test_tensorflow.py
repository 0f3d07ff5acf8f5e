"""TensorFlow: N devices on a global batch equal one device on that batch, and stay alike."""

import pytest
from comparison import MANY, devices_equal_one, two_processes_equal_one

# A teacher and a centre, a queue.
FEW = ("DINO", "MoCoV2")


@pytest.mark.parametrize(
    ("devices", "methods", "options"),
    [(2, MANY, ()), (4, ("BarlowTwins", "DINO"), ()), (2, ("DINO",), ("jit",))],
)
def test_mirrored_devices_equal_one(devices, methods, options, one_device, tmp_path):
    devices_equal_one("tensorflow", "mirrored", devices, methods, one_device, tmp_path, *options)


def test_two_processes_equal_one(one_device, tmp_path):
    two_processes_equal_one("tensorflow", FEW, one_device, tmp_path)
