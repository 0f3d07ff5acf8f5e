"""`import kerassl` is light: it loads nothing optional beyond what Keras itself loads."""

import os
import subprocess
import sys

import keras
import pytest

CODE = """
import sys
import keras

optional = {"tensorflow", "torch", "jax", "sklearn", "matplotlib", "PIL", "tensorflow_datasets", "keras_hub"}
before = optional & set(sys.modules)
import kerassl

print(sorted(optional & set(sys.modules) - before))
"""

WITHOUT_TENSORFLOW = """
import sys

sys.modules["tensorflow"] = None
import numpy as np
import kerassl

encoder = kerassl.backbones.resnet18((16, 16, 3), stem="small", width=4)
model = kerassl.methods.SimCLR(encoder, projection_dim=8)
images = np.zeros((8, 16, 16, 3), "uint8")
images[::2] = 200
print(model.fit(kerassl.data.ImageDataset(images, batch_size=4), verbose=0).history["loss"][0] > 0)
"""


def output(code):
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_importing_loads_nothing_optional():
    assert output(CODE) == "[]"


@pytest.mark.backends("jax", "torch")  # It is about the other backends.
def test_training_needs_no_tensorflow():
    assert output(WITHOUT_TENSORFLOW) == "True"
