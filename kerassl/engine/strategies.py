"""The devices and processes on which a model is made and trained."""

import atexit
import contextlib
import functools
import itertools
import os
from collections.abc import Iterator

import keras

from kerassl.engine.model_parallel import model_parallel

# Each strategy with the backends that have it.
STRATEGIES = {
    "none": ("tensorflow", "jax", "torch"),
    "mirrored": ("tensorflow",),
    "multi_worker": ("tensorflow", "jax", "torch"),
    "tpu": ("tensorflow", "jax"),
    "data_parallel": ("jax",),
    "model_parallel": ("jax",),
}
_strategies_made = itertools.count()


@contextlib.contextmanager
def distribute(
    strategy: str = "none", num_devices: int | None = None, model_shards: int = 2
) -> Iterator[int]:
    """Makes and trains models on several devices; make, compile and fit them within.

    A step on N devices equals a step on one: losses see the embeddings of the global batch, batch norm its
    statistics, and teachers, queues and centers move identically everywhere.

    - `"none"`: one device.
    - `"mirrored"` (TensorFlow): all GPUs of this host, by `tf.distribute.MirroredStrategy`.
    - `"data_parallel"` (JAX): all devices of this host, by `keras.distribution.DataParallel`.
    - `"model_parallel"` (JAX): weights too are cut, over `model_shards` devices each.
    - `"multi_worker"`: all devices of several processes, one process a host: TensorFlow reads TF_CONFIG,
      JAX the KERAS_DISTRIBUTION_* variables, torch (one process a device) those that `torchrun` sets.
    - `"tpu"`: the TPU cores, by `tf.distribute.TPUStrategy` or `keras.distribution.DataParallel`.

    It may be entered again, as in a notebook; processes that have joined stay joined until they end.

    Args:
        strategy: one of the names above.
        num_devices: devices of this host to use, by default all. Without a GPU the processor counts as so
            many devices, to try a strategy out before it is run on real ones.
        model_shards: devices that share one copy of the weights under `"model_parallel"`.

    Yields:
        The number of devices among which each global batch is cut; it must divide the batch size.

    Raises:
        ValueError: for an unknown name, a strategy that the backend does not have, devices that are not
            there, or variables of the environment that are not set.

    Example:
        >>> import kerassl
        >>> with kerassl.distribute("none") as num_devices:
        ...     num_devices
        1
    """
    backend = keras.backend.backend()
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy={strategy!r} is none of {', '.join(STRATEGIES)}.")
    if backend not in STRATEGIES[strategy]:
        has = [name for name, backends in STRATEGIES.items() if backend in backends]
        raise ValueError(
            f"strategy={strategy!r} runs on {' and '.join(STRATEGIES[strategy])}, but KERAS_BACKEND is "
            f"{backend}, which has {', '.join(has)}."
        )
    if strategy == "none":
        yield 1
        return
    scope = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend]
    with scope(strategy, num_devices, model_shards) as count:
        yield count


@contextlib.contextmanager
def _tensorflow(strategy: str, num_devices: int | None, model_shards: int):
    import tensorflow as tf

    if strategy == "tpu":
        try:
            made = _tpu()
        except (ValueError, RuntimeError, tf.errors.OpError) as error:
            raise ValueError(
                f"strategy='tpu' found no TPU for TensorFlow ({error}). Run on a TPU VM with tensorflow-tpu, "
                "or set KERAS_BACKEND=jax with jax[tpu], which Keras recommends for TPUs."
            ) from error
    elif strategy == "multi_worker":
        if not os.environ.get("TF_CONFIG"):
            raise ValueError(
                "strategy='multi_worker' on TensorFlow needs TF_CONFIG in the environment of each process, "
                'as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", '
                '"index": 0}}.'
            )
        made = _multi_worker()
    else:
        devices = _tensorflow_devices(tf, num_devices)
        made = _mirrored(tuple(devices))
    with made.scope():
        yield made.num_replicas_in_sync


# A process has one strategy for all models on the same devices: a second one would start the TPU anew, or its
# collectives would take the first one's tensors.
@functools.cache
def _tpu():
    import tensorflow as tf

    return tf.distribute.TPUStrategy(tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local"))


@functools.cache
def _multi_worker():
    import tensorflow as tf

    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]):
    import tensorflow as tf

    # Collectives of strategies on different devices go by keys of their own, as in TensorFlow's tests.
    keys = {"_collective_key_base": 100_000 * next(_strategies_made)}
    return type("MirroredStrategy", (tf.distribute.MirroredStrategy,), keys)(devices)


def _tensorflow_devices(tf, num_devices: int | None):  # noqa: ANN001
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU" and num_devices:
        processor = tf.config.list_physical_devices("CPU")[0]
        # Where TensorFlow has started, its devices stand; they are counted below.
        with contextlib.suppress(RuntimeError):
            tf.config.set_logical_device_configuration(
                processor, [tf.config.LogicalDeviceConfiguration()] * num_devices
            )
    there = [device.name for device in tf.config.list_logical_devices(kind)]
    return _first(there, num_devices)


@contextlib.contextmanager
def _jax(strategy: str, num_devices: int | None, model_shards: int):
    import jax

    if strategy == "multi_worker":
        if not os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES"):
            raise ValueError(
                "strategy='multi_worker' on JAX needs KERAS_DISTRIBUTION_JOB_ADDRESSES (host:port of process "
                "0), KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID in the environment "
                "of each process."
            )
        if not jax.distributed.is_initialized():
            keras.distribution.initialize()
    elif num_devices:
        # Where JAX has started, its devices stand; they are counted below.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", num_devices)
    if strategy == "tpu" and jax.default_backend() != "tpu":
        raise ValueError("strategy='tpu' found no TPU for JAX. Install jax[tpu] on a TPU VM.")
    devices = _first(keras.distribution.list_devices(), num_devices)
    if strategy == "model_parallel":
        distribution = model_parallel(model_shards, devices)
    else:
        # Each process gives its own share of the batch.
        distribution = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(distribution)
    try:
        yield distribution.device_mesh.shape[0]
    finally:
        keras.distribution.set_distribution(before)


@contextlib.contextmanager
def _torch(strategy: str, num_devices: int | None, model_shards: int):
    import torch

    missing = [
        name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ
    ]
    if missing:
        raise ValueError(
            f"strategy='multi_worker' on torch needs {', '.join(missing)} in the environment; start the "
            "processes with torchrun --nproc_per_node=DEVICES."
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    # Processes join once: who left and joined again could meet the store that the other is about to close.
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(torch.distributed.destroy_process_group)
    yield torch.distributed.get_world_size()


def _first(devices: list[str], num_devices: int | None):
    if num_devices and num_devices > len(devices):
        raise ValueError(
            f"num_devices={num_devices}, but {len(devices)} are available: {', '.join(devices)}. A processor "
            "can be counted as several only before it has computed anything."
        )
    return devices[:num_devices]
