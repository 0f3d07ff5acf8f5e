"""Makes the files of this folder; see README.md. Usage: make.py FOLDER, with the old code on PYTHONPATH."""

import pathlib
import sys

import keras
import numpy as np

import kerassl
from recipes import pretrain

folder = pathlib.Path(sys.argv[1])
SHAPE = (16, 16, 3)


def images():
    """24 images that are the same everywhere."""
    return np.random.default_rng(0).integers(0, 256, (24, *SHAPE), dtype="uint8")


def encoder():
    keras.utils.set_random_seed(0)
    return kerassl.backbones.ResNet(SHAPE, depths=(1,), width=4, stem="small")


class Stop(keras.callbacks.Callback):
    """Ends a run within its second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step) == 9:
            self.model.stop_training = True


simclr = kerassl.methods.SimCLR(encoder(), projection_dim=8, num_classes=3)
simclr.attach(kerassl.objectives.SwappedPrototypes(num_prototypes=8, projection_dim=8))
simclr.compile(kerassl.optimizers.AdamW(1e-3))
simclr.fit(images(), np.arange(24) % 3, batch_size=8, epochs=1, verbose=0)
simclr.save(folder / "simclr.keras")
np.save(folder / "simclr_features.npy", simclr.predict(images(), verbose=0))

byol = kerassl.methods.BYOL(encoder(), projection_dim=8, hidden_dim=8)
byol.compile(keras.optimizers.SGD(1e-2, momentum=0.9))
checkpoint = kerassl.callbacks.Checkpoint(folder / "byol", keep=1)
byol.fit(images(), batch_size=4, epochs=3, verbose=0, callbacks=[Stop(), checkpoint])

pretrain.run(
    workdir=str(folder / "workdir"),
    dataset="digits",
    backbone="vit_tiny",
    width=4,
    backbone_args={"depth": 1, "num_heads": 1},
    method_args={"projection_dim": 8},
    image_size=16,
    epochs=2,
    batch_size=50,
    limit_train=100,
    limit_test=40,
    eval_images=40,
    stop_after=1,
    keep_checkpoints=1,
    saved_model=False,
    verbose=0,
)
