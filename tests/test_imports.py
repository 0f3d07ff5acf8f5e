"""`import kerassl` is light: no TensorFlow on the other backends, no optional package."""

import os
import subprocess
import sys

import keras

CODE = """
import sys
import kerassl
heavy = {"tensorflow", "torch", "jax", "sklearn", "matplotlib", "PIL", "tensorflow_datasets"}
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_loads_the_backend_only():
    backend = keras.backend.backend()
    environment = {**os.environ, "KERAS_BACKEND": backend}
    result = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
    )
    # TensorFlow itself brings some of the others where they are installed.
    if backend != "tensorflow":
        assert result.stdout.strip() == f"['{backend}']"
    else:
        assert "tensorflow_datasets" not in result.stdout and "sklearn" not in result.stdout
