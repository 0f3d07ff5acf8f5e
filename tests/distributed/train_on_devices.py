"""Trains a method on N logical devices and saves its weights; `tests/distributed` compares them.

Usage: train_on_devices.py METHOD DEVICES OUTPUT [jit]
"""

import pathlib
import sys

import keras
import numpy as np

name, devices, output = sys.argv[1], int(sys.argv[2]), sys.argv[3]
jit = "jit" in sys.argv[4:]
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "methods"))


def scope():
    if keras.backend.backend() == "jax":
        if devices > 1:
            keras.distribution.set_distribution(keras.distribution.DataParallel())
        return keras.name_scope("one")
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    if devices == 1:
        return keras.name_scope("one")
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)]).scope()


with scope():
    from tiny_methods import labels, make, ready_views

    model = make(name, views=None)
    rng = np.random.default_rng(0)
    model.set_weights([value + 0.01 * rng.normal(size=value.shape).astype(value.dtype)
                       if value.dtype.kind == "f" else value for value in model.get_weights()])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.05), jit_compile=True if jit else "auto")
views = ready_views(name, 16)
history = model.fit(views, labels(16), batch_size=8, epochs=2, shuffle=False, verbose=0)
weights = [keras.ops.convert_to_numpy(v) for v in model.weights]
np.savez(output, np.array(history.history["loss"]), np.array(history.history["probe_accuracy"]), *weights)
