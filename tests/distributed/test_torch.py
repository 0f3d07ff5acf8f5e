"""PyTorch: two processes on a global batch equal one on that batch, and stay alike."""

from comparison import two_processes_equal_one
from tiny_methods import METHODS


def test_two_processes_equal_one(one_device, tmp_path):
    two_processes_equal_one("torch", METHODS, one_device, tmp_path)
