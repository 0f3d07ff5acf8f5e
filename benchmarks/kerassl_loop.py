"""One measurement of kerassl for `benchmarks.throughput`, in a process of its own.

    KERAS_BACKEND=tensorflow python -m benchmarks.kerassl_loop --images=images.npy --method=simclr \
        --settings='{...}'

`fit` with the online probe; the last, partial batch of an epoch is left out on both sides.
Prints one line of JSON.
"""

import argparse
import json
import math
import time

import keras
import numpy as np

import kerassl
from benchmarks import results_file

CLASSES = {"simclr": "SimCLR", "byol": "BYOL", "dino": "DINO", "mae": "MAE"}


class Window(keras.callbacks.Callback):
    """Times `steps` steps after `warmup` steps, then stops the run."""

    def __init__(self, warmup: int, steps: int) -> None:
        super().__init__()
        self.warmup, self.last = warmup, warmup + steps
        self.step = 0

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step in (1, self.warmup, self.last):
            # Reading the value waits for a step that the backend may still be computing.
            self.loss = float(logs["loss"])
        if self.step == 1:
            self.seconds_to_first_step = time.perf_counter() - self.start
        if self.step == self.warmup:
            self.window, self.cpu = time.perf_counter(), time.process_time()
        if self.step == self.last:
            self.seconds = time.perf_counter() - self.window
            self.cpu_seconds = time.process_time() - self.cpu
            self.model.stop_training = True


def build(method: str, settings: dict) -> kerassl.SSLModel:
    """The untrained method."""
    size = settings["image_size"]
    if "vit" in settings:
        encoder = kerassl.backbones.vit(
            (size, size, 3), size=settings["vit"], patch_size=settings["patch_size"]
        )
    else:
        encoder = kerassl.backbones.resnet18(
            (size, size, 3), stem="small", stem_stride=2, width=settings["width"]
        )
    views = "default"
    if "views" in settings:
        views = kerassl.views.preset(size=size, **settings["views"])
    return getattr(kerassl.methods, CLASSES[method])(encoder, views, 10, **settings["method"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, help=".npy of uint8 images")
    parser.add_argument("--method", choices=sorted(CLASSES), required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--jit", action="store_true", help="compile the step with XLA, which JAX always does")
    parser.add_argument("--bfloat16", action="store_true", help="the policy mixed_bfloat16")
    arguments = parser.parse_args()
    settings = arguments.settings

    keras.utils.set_random_seed(0)
    if arguments.bfloat16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    images, batch_size = np.load(arguments.images), settings["batch_size"]
    labels = np.arange(len(images)) % 10
    train = kerassl.data.ImageDataset(images, labels, batch_size, shuffle=True, drop_remainder=True)
    model = build(arguments.method, settings)
    optimizer = kerassl.optimizers.AdamW(settings["learning_rate"], weight_decay=settings["weight_decay"])
    model.compile(optimizer, jit_compile=True if arguments.jit else "auto")
    window = Window(arguments.warmup, arguments.steps)
    epochs = math.ceil(window.last / len(train))
    model.fit(train, epochs=epochs, callbacks=[window], verbose=0)
    learned = [weight for weight in model.trainable_weights if "probe" not in weight.path]
    result = {
        "images_per_second": arguments.steps * batch_size / window.seconds,
        "cpu_seconds_per_step": window.cpu_seconds / arguments.steps,
        "seconds_to_first_step": window.seconds_to_first_step,
        "peak_memory_mib": results_file.peak_memory_mib(),
        "loss": window.loss,
        "parameters": sum(math.prod(weight.shape) for weight in learned),
        "jit_compile": model.jit_compile,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
