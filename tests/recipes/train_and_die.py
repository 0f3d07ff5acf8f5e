"""Trains a small BYOL in a workdir, kills itself where told to, and stores all state if it gets to the end.

Usage: train_and_die.py WORKDIR KIND STEP. KIND is "never", "batch" (before the batch of that step), or
"fsync" or "replace" (in the first checkpoint written from that step on, before it is flushed or renamed).
"""

import os
import pathlib
import signal
import sys

import keras
import numpy as np

import kerassl
from recipes.workdir import Journal, Workdir

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "contract"))
from tiny import images, labels, make  # noqa: E402

EPOCHS, BATCHES = 4, 6
folder, kind, last_step = sys.argv[1], sys.argv[2], int(sys.argv[3])
now = 0


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Die(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        global now
        now = self.epoch * BATCHES + batch
        if kind == "batch" and now >= last_step:
            die()


def deadly(function):
    def dies(*arguments):
        if now >= last_step and list(workdir.checkpoints.glob("partial_*")):
            die()
        return function(*arguments)

    return dies


workdir = Workdir(folder, {})
if kind in ("fsync", "replace"):
    setattr(os, kind, deadly(getattr(os, kind)))
data = kerassl.data.ImageDataset(images(22), labels(22), batch_size=4, shuffle=True, seed=1, workers=2)
model = make("BYOL")
rate = keras.optimizers.schedules.CosineDecay(1e-3, 20, warmup_target=1e-2, warmup_steps=4)
model.compile(kerassl.optimizers.AdamW(rate, weight_decay=0.1))
checkpoint = kerassl.callbacks.Checkpoint(workdir.checkpoints, every_steps=2)
model.fit(data, epochs=EPOCHS, verbose=0, callbacks=[Die(), Journal(workdir), checkpoint])
variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
arrays = [keras.ops.convert_to_numpy(variable) for variable in variables]
names = [f"{index}:{variable.path}" for index, variable in enumerate(variables)]
np.savez(workdir.path / "state.npz", **dict(zip(names, arrays, strict=True)))
