"""PyTorch: two processes on a global batch equal one on that batch, and stay alike."""

from comparison import two_processes_equal_one
from launch import addresses, finish, free_port, start
from tiny import METHODS

SCOPES = """
import os, time, torch, kerassl
for _ in range(2):
    with kerassl.distribute("multi_worker") as count:
        total = torch.ones(1)
        torch.distributed.all_reduce(total)
        assert total.item() == count == 2
        time.sleep(0.5 * (os.environ["RANK"] == "0"))
"""


def test_two_processes_equal_one(one_device, tmp_path):
    two_processes_equal_one("torch", METHODS, one_device, tmp_path)


def test_a_process_may_leave_a_scope_before_the_other():
    ports = (free_port(),)
    finish([start(["-c", SCOPES], "torch", **addresses("torch", i, ports)) for i in range(2)], seconds=120)
