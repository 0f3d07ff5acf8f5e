"""JAX: weights that are cut between devices, and two processes, equal one device."""

from comparison import LAID_OUT, assert_equal, two_processes_equal_one
from launch import train


def test_weights_that_are_cut_equal_whole_ones(one_device, tmp_path):
    stored = train(tmp_path, "jax", "model_parallel", 4, LAID_OUT)
    for method in LAID_OUT:
        assert_equal(stored, one_device("jax"), method)
        assert stored[f"{method}/spread"] == 0.0
    cut = set(stored["DINO/cut"])
    assert {"head/prototypes", "teacher/head/prototypes", "dino/center"} <= cut
    # With an axis of heads, which stays whole.
    assert "prototypes/prototypes" in set(stored["MSN/cut"])
    for kernel in ("qkv", "projection", "mlp_hidden", "mlp_output"):
        assert sum(f"block1/{kernel}/kernel" in path for path in cut) == 2, kernel
    assert not len(stored["BYOL/cut"])


def test_two_processes_equal_one(one_device, tmp_path):
    two_processes_equal_one("jax", ("DINO", "MoCoV2"), one_device, tmp_path)
