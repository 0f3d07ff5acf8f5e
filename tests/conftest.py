import functools
import gc
import os
import pathlib
import time

import pytest

# Small torch steps spin for seconds on a loaded machine when OpenMP has more than one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The tests compile much and compute little: programs that are made sooner and run slower. Without the
# emitters of fused kernels XLA makes one in a quarter of the time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", f"{FLAGS} --xla_cpu_parallel_codegen_split_count=1")
# JAX' programs are compiled once for all processes, and kept for the next run.
PROGRAMS = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax_programs"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Graphs are many objects that stay: looking for garbage among them took a tenth of the time.
gc.set_threshold(100_000, 50, 50)

# The long ones come first, so that no process is left alone with one in the end.
LONG = (
    "test_backends.py",
    "test_tensorflow.py",
    "test_jax.py",
    "test_torch.py",
    "test_recipe.py",
    "test_jax_layouts.py",
    "test_kill.py",
    "test_checkpoint.py",
    "test_export.py",
    "test_compiled_step.py",
    "test_life.py",
)


def pytest_addoption(parser):
    parser.addoption("--method", help="tests with the parameter `name`, of these methods only: BYOL,SimCLR")


def pytest_collection_modifyitems(config, items):
    import keras

    backend, methods = keras.backend.backend(), (config.getoption("--method") or "").lower().split(",")

    def wanted(item):
        name = str(item.callspec.params.get("name")) if hasattr(item, "callspec") else ""
        if any(methods) and name.lower().removesuffix(" without chance") not in methods:
            return False
        return all(backend in mark.args for mark in item.iter_markers("backends"))

    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = sorted(filter(wanted, items), key=lambda item: item.path.name not in LONG)


class Steps(dict):
    """What tests/contract has kept of each method's first step, as one `npz` file would hold it."""

    @classmethod
    def of(cls, folder):
        import numpy as np

        files = sorted(folder.glob("*.npz"))
        return cls({f"{file.stem}/{key}": value for file in files for key, value in np.load(file).items()})

    @property
    def files(self):
        return list(self)


@pytest.fixture(scope="session")
def one_device(tmp_path_factory):
    """What one device of a backend makes of all methods.

    It is what tests/contract has kept in this run of `make test`, or trained once for all processes.
    """
    import numpy as np
    from comparison import LAID_OUT, MANY
    from launch import train_on_one_device
    from tiny import METHODS, WITHOUT_CHANCE

    kept = os.environ.get("KERASSL_TEST_STEPS")
    if kept:
        return functools.cache(lambda backend: Steps.of(pathlib.Path(kept, backend)))
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # That of a worker lies in the folder of the run.
        folder = folder.parent

    @functools.cache
    def reference(backend):
        begun, stored = folder / f"{backend}_begun", folder / f"{backend}_none_1.npz"
        try:
            begun.touch(exist_ok=False)
        except FileExistsError:
            for _ in range(1200):
                if (folder / f"{backend}_done").exists():
                    return np.load(stored)
                time.sleep(1)
            raise TimeoutError(f"Another process trains on {backend} and has not come to an end.") from None
        methods = (*METHODS, *WITHOUT_CHANCE)
        if backend != "torch":
            # The others compare those that draw numbers without them only.
            methods = [
                m for m in methods if f"{m} without chance" not in WITHOUT_CHANCE or m in (*MANY, *LAID_OUT)
            ]
        try:
            return train_on_one_device(folder, backend, methods)
        finally:
            (folder / f"{backend}_done").touch()

    return reference
