"""Which of a run's processes this is, where one run spans several (hosts, or `torchrun`)."""

import json
import os

import keras
import numpy as np


def process_index_and_count() -> tuple[int, int]:
    """Index of this process and number of processes of the run; (0, 1) for a run of one process.

    TensorFlow reads TF_CONFIG, as `MultiWorkerMirroredStrategy` does; JAX and torch know it from
    `keras.distribution.initialize` and `torch.distributed.init_process_group`.

    Example:
        >>> from kerassl.engine import process_index_and_count
        >>> process_index_and_count()
        (0, 1)
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.process_index(), jax.process_count()
    if backend == "torch":
        import torch.distributed

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    # A chief is the first of the workers, under another name.
    tasks = [
        (kind, i) for kind in ("chief", "worker") for i in range(len(config.get("cluster", {}).get(kind, ())))
    ]
    task = (config.get("task", {}).get("type"), int(config.get("task", {}).get("index", 0)))
    return (tasks.index(task), len(tasks)) if task in tasks else (0, 1)


def is_chief() -> bool:
    """Whether this process is the one that prints and writes files."""
    return process_index_and_count()[0] == 0


def process_share() -> tuple[int, int]:
    """(index, count) of the part of each global batch that a dataset must give to this process.

    TensorFlow's strategies shard the global batch themselves, so on TensorFlow every process gives all of it.
    """
    return (0, 1) if keras.backend.backend() == "tensorflow" else process_index_and_count()


def gather_from_processes(array: np.ndarray) -> np.ndarray:
    """The rows that every process read, one process after the other; outside the step.

    Where each process reads all of the data, as TensorFlow's do, the array itself.

    Args:
        array: `(n, ...)`, of one shape in all processes.

    Example:
        >>> import numpy as np
        >>> from kerassl.engine import gather_from_processes
        >>> gather_from_processes(np.arange(3)).tolist()
        [0, 1, 2]
    """
    if process_share()[1] == 1:
        return array
    if keras.backend.backend() == "jax":
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    import torch.distributed

    parts = [None] * process_share()[1]
    torch.distributed.all_gather_object(parts, array)
    return np.concatenate(parts)
