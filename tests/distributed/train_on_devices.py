"""Trains methods on several devices and saves what they became; `tests/distributed` compares.

Usage: train_on_devices.py OUTPUT STRATEGY DEVICES METHODS [jit]

Each of METHODS (comma-separated) trains one step on one global batch of 16 images, and on several devices
four more. OUTPUT receives, per method, the loss of the first step, the weights after it, and the largest
difference between two devices' copies of a weight after all steps. The first of METHODS trains on two of more
devices, too. BYOL trains once more on raw images, whose views each device draws for itself.
"""

import pathlib
import sys

import keras
import numpy as np

import kerassl

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "contract"))
from one_step import BATCH, batches, first_batch, one_step, start, weights  # noqa: E402
from tiny import accuracy_of, images, labels, make  # noqa: E402

# One whose embedding is the student's, and one whose it is the teacher's.
EMBEDDING = ("SimCLR", "DINO")


class Share(keras.utils.PyDataset):
    """Batches of ready views, labels and perhaps weights, of which this process gives its share."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays
        self.index, self.count = kerassl.engine.process_share()

    def __len__(self):
        return len(self.arrays[1]) // BATCH

    def __getitem__(self, batch):
        part = BATCH // self.count
        rows = slice(batch * BATCH + self.index * part, batch * BATCH + (self.index + 1) * part)
        return keras.tree.map_structure(lambda values: values[rows], self.arrays)


def copies(variable):
    """A weight as each device of this process holds it."""
    if keras.backend.backend() == "jax":
        shards = variable.value.addressable_shards
        return [np.asarray(shard.data) for shard in shards if shard.index == shards[0].index]
    if keras.backend.backend() == "tensorflow" and hasattr(variable.value, "values"):
        return [value.numpy() for value in variable.value.values]
    return [keras.ops.convert_to_numpy(variable)]


def is_cut(variable):
    """Whether no device holds the whole weight."""
    return keras.backend.backend() == "jax" and not variable.value.is_fully_replicated


def train(name, jit, alone):
    if alone:
        return one_step(name)[1]
    model = make(name, views=None)
    start(model)
    model.compile(keras.optimizers.SGD(0.05), jit_compile=True if jit else "auto")
    first = Share(*first_batch(name))
    logs = model.fit(first, epochs=1, shuffle=False, verbose=0).history
    result = {"loss": logs["loss"][0], "accuracy": logs[accuracy_of(model)][0]}
    result |= weights(model, "after one step")
    rest = Share(*keras.tree.map_structure(lambda values: values[BATCH:], batches(name)))
    model.fit(rest, epochs=1, shuffle=False, verbose=0)
    if name in EMBEDDING:
        pictures = images(11)
        alone = model.call_locally(model, pictures)
        together = model.predict(pictures, batch_size=4, verbose=0)
        result["features"] = np.abs(together - alone).max() / np.abs(alone).max()
    return result | weights(model, "at the end") | agreement(model)


def train_on_raw_images(name):
    model = make(name)
    model.compile(keras.optimizers.SGD(0.05))
    # The last batch of 5 does not cut evenly.
    logs = model.fit(images(37), labels(37), batch_size=BATCH, epochs=2, verbose=0).history
    model.evaluate(images(37), labels(37), batch_size=BATCH, verbose=0)
    return {"loss": logs["loss"], "step": keras.ops.convert_to_numpy(model.clock.step)} | agreement(model)


def agreement(model):
    every = [copies(variable) for variable in model.weights]
    return {
        "copies": min(map(len, every)),
        "spread": max(np.abs(np.subtract(copy, them[0])).max() for them in every for copy in them),
        "cut": [variable.path for variable in model.weights if is_cut(variable)],
    }


def main(output, strategy, devices, methods, *options):
    stored, methods, devices, alone = {}, methods.split(","), int(devices), strategy == "none"

    def store(label, result):
        stored.update({f"{label}/{key}": value for key, value in result.items()})

    # One scope after the other, as in a notebook.
    for names in (methods[:1], methods[1:]):
        with kerassl.distribute(strategy, num_devices=devices or None):
            for name in names:
                store(name, train(name, "jit" in options, alone))
    if devices > 2:
        with kerassl.distribute(strategy, num_devices=2):
            store("on two", train(methods[0], jit=False, alone=False))
    if "BYOL" in methods and not alone:
        with kerassl.distribute(strategy, num_devices=devices or None):
            store("raw", train_on_raw_images("BYOL"))
    np.savez(output, **stored)


if __name__ == "__main__":
    main(*sys.argv[1:])
