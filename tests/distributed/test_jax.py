"""JAX: N devices on a global batch equal one device on that batch, and stay alike."""

import os
import subprocess
import sys

import pytest
from comparison import MANY, devices_equal_one


@pytest.mark.parametrize(("devices", "methods"), [(2, MANY), (4, ("BYOL",)), (8, ("SimCLR", "MoCoV2"))])
def test_data_parallel_devices_equal_one(devices, methods, one_device, tmp_path):
    devices_equal_one("jax", "data_parallel", devices, methods, one_device, tmp_path)


MADE_OUTSIDE = """
import keras, numpy as np, kerassl
model = kerassl.methods.SimCLR(keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]))
model.compile()
with kerassl.distribute("data_parallel"):
    try:
        model.fit(np.zeros((8, 8, 8, 1), "uint8"), batch_size=4, verbose=0)
    except ValueError as error:
        print(error)
"""


def test_a_model_made_outside_of_its_distribution_is_named():
    flags = "--xla_force_host_platform_device_count=2"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags}
    command = [sys.executable, "-W", "ignore", "-c", MADE_OUTSIDE]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert "lies on 1 of the 2 devices of the distribution: the model was made outside it" in said
