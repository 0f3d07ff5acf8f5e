"""Starts `train_on_devices.py` in one process or in two that find each other on this machine."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np

SCRIPT = pathlib.Path(__file__).with_name("train_on_devices.py")
# Devices that share a busy core may meet late; XLA ends the process after 40 seconds.
PATIENCE = "--xla_cpu_collective_call_terminate_timeout_seconds=600"
# Programs that JAX sends ahead may reach the devices of a processor in different orders, and then wait for
# each other for ever. Nor do they share what is compiled for one device.
ONE_AT_A_TIME = {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "0", "JAX_ENABLE_COMPILATION_CACHE": "0"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, backend, **variables):
    flags = f"{os.environ.get('XLA_FLAGS', '')} {PATIENCE}"
    settings = {"KERAS_BACKEND": backend, "XLA_FLAGS": flags, **ONE_AT_A_TIME}
    environment = {**os.environ, **settings, **variables}
    return subprocess.Popen([sys.executable, *map(str, command)], env=environment)


def finish(processes, seconds=1200):
    """Waits until all have ended; one that failed ends the others, which would wait for it."""
    until = time.monotonic() + seconds
    try:
        while None in (codes := [process.poll() for process in processes]):
            assert not any(codes), f"exit codes {codes}"
            assert time.monotonic() < until, f"exit codes {codes} after {seconds} seconds"
            time.sleep(0.1)
        assert not any(codes), f"exit codes {codes}"
    finally:
        for process in processes:
            process.kill()


def addresses(backend, index, ports):
    """What tells process `index` of two where the other one is."""
    if backend == "tensorflow":
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})}
    if backend == "jax":
        return {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{ports[0]}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
        }
    rank = {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": "2"}
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports[0]), **rank}


def train(folder, backend, strategy, devices, methods, *options):
    """The arrays that one process stored."""
    output = folder / f"{backend}_{strategy}_{devices}.npz"
    finish([start([SCRIPT, output, strategy, devices, ",".join(methods), *options], backend)])
    return np.load(output)


def train_on_one_device(folder, backend, methods, processes=2):
    """What one device makes of methods, of which each process trains a part, stored in one file."""
    parts = [folder / f"{backend}_part_{index}.npz" for index in range(processes)]
    finish(
        [
            start([SCRIPT, part, "none", 1, ",".join(methods[index::processes])], backend)
            for index, part in enumerate(parts)
        ]
    )
    stored = folder / f"{backend}_none_1.npz"
    np.savez(stored, **{name: values for part in parts for name, values in np.load(part).items()})
    return np.load(stored)


def train_in_two_processes(folder, backend, methods):
    """The arrays that each of two processes stored."""
    outputs = [folder / f"{backend}_process_{index}.npz" for index in range(2)]
    ports = free_port(), free_port()
    finish(
        [
            start(
                [SCRIPT, output, "multi_worker", 0, ",".join(methods)],
                backend,
                **addresses(backend, i, ports),
            )
            for i, output in enumerate(outputs)
        ]
    )
    return [np.load(output) for output in outputs]
