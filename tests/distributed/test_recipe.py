"""A recipe in two processes, stopped and started again."""

import json

from launch import addresses, finish, free_port, start


def pretrain(workdir, *flags):
    ports = free_port(), free_port()
    command = ["-m", "recipes.pretrain", "--strategy=multi_worker", "--method=byol", "--dataset=digits"]
    command += [
        "--width=4",
        "--limit_train=260",
        "--batch_size=128",
        "--epochs=2",
        "--nosaved_model",
        "--verbose=0",
    ]
    command += [f"--workdir={workdir}", *flags]
    finish([start(command, "torch", **addresses("torch", index, ports)) for index in range(2)])
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_two_processes_go_on_where_they_stopped(tmp_path):
    whole = pretrain(tmp_path / "whole")
    assert [line["epoch"] for line in whole] == [1, 2]
    assert len(pretrain(tmp_path / "stopped", "--stop_after=1")) == 1
    assert pretrain(tmp_path / "stopped") == whole
    made = {path.name for path in (tmp_path / "stopped").iterdir()}
    assert {
        "checkpoints",
        "config.json",
        "encoder.keras",
        "metrics.jsonl",
        "result.json",
        "views.png",
    } <= made
