"""JAX: weights that are cut between devices, and two processes, equal one device."""

import functools

import pytest
from comparison import assert_equal, two_processes_equal_one
from launch import train


@pytest.fixture(scope="module")
def one(one_device):
    """What one device makes of the methods of this file."""
    return functools.partial(one_device, methods=("BYOL", "DINO", "MAE", "MoCoV2"))


def test_weights_that_are_cut_equal_whole_ones(one, tmp_path):
    stored = train(tmp_path, "jax", "model_parallel", 4, ("BYOL", "DINO", "MAE"))
    for method in ("BYOL", "DINO", "MAE"):
        assert_equal(stored, one("jax"), method)
        assert stored[f"{method}/spread"] == 0.0
    cut = set(stored["DINO/cut"])
    assert {"head/prototypes", "teacher/head/prototypes", "dino/center"} <= cut
    for kernel in ("qkv", "projection", "mlp_hidden", "mlp_output"):
        assert sum(f"block1/{kernel}/kernel" in path for path in cut) == 2, kernel
    assert not len(stored["BYOL/cut"])


def test_two_processes_equal_one(one, tmp_path):
    two_processes_equal_one("jax", ("DINO", "MoCoV2"), one, tmp_path)
