"""Same weights and same views give the same loss and the same weights after a step on the three backends."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from tiny_methods import METHODS

BACKENDS = ("tensorflow", "jax", "torch")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    script = pathlib.Path(__file__).with_name("one_step.py")
    for backend in BACKENDS:
        mode = "write" if backend == BACKENDS[0] else "read"
        subprocess.run(
            [sys.executable, str(script), ",".join(METHODS), str(folder), mode],
            env={**os.environ, "KERAS_BACKEND": backend},
            check=True,
        )

    def load(name, backend):
        stored = np.load(folder / f"{name}_{backend}.npz")
        return [stored[key] for key in stored.files]

    return load


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("name", METHODS)
def test_loss_and_weights_agree(results, name, backend):
    loss, *weights = results(name, BACKENDS[0])
    other_loss, *other_weights = results(name, backend)
    np.testing.assert_allclose(other_loss, loss, rtol=1e-5, atol=1e-5)
    assert len(weights) == len(other_weights)
    for weight, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other, weight, rtol=1e-4, atol=1e-4)
