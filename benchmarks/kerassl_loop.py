"""One measurement of kerassl for `benchmarks.throughput`, in a process that holds nothing else.

    KERAS_BACKEND=tensorflow python -m benchmarks.kerassl_loop --data=cifar10_jpeg.npz --method=simclr

The model, data and optimizer of `benchmarks.cpu_protocol`, online probe included, trained by `fit`; the
last, partial batch of an epoch is left out, as the peer leaves it out. Prints one line of JSON.
"""

import argparse
import json
import math
import time

import keras

import kerassl
from benchmarks import cpu_protocol, results_file


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
            self.window = time.perf_counter()
        if self.step == self.last:
            self.seconds = time.perf_counter() - self.window
            self.model.stop_training = True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="path of cifar10_jpeg.npz")
    parser.add_argument("--method", choices=sorted(cpu_protocol.CLASSES), required=True)
    parser.add_argument("--num_images", type=int, default=10_000)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--jit", choices=("auto", "true", "false"), default="auto")
    arguments = parser.parse_args()

    batch_size = cpu_protocol.BATCH_SIZE
    train, _, info = kerassl.data.load(
        f"npz:{arguments.data}", batch_size=batch_size, limit_train=arguments.num_images, limit_test=1
    )
    train.drop_remainder = True
    settings = cpu_protocol.SETTINGS[arguments.method]
    model = cpu_protocol.build(arguments.method, info.image_shape, settings, seed=0, teacher_path=None)
    optimizer = kerassl.optimizers.AdamW(
        settings["learning_rate"], weight_decay=settings["weight_decay"], clipnorm=settings.get("clipnorm")
    )
    jit_compile = {"auto": "auto", "true": True, "false": False}[arguments.jit]
    model.compile(optimizer, jit_compile=jit_compile)
    window = Window(arguments.warmup, arguments.steps)
    epochs = math.ceil(window.last / len(train))
    model.fit(train, epochs=epochs, callbacks=[window], verbose=0)
    learned = [weight for weight in model.trainable_weights if "probe" not in weight.path]
    result = {
        "images_per_second": arguments.steps * batch_size / window.seconds,
        "seconds_to_first_step": window.seconds_to_first_step,
        "peak_memory_mib": results_file.peak_memory_mib(),
        "loss": window.loss,
        "parameters": sum(math.prod(weight.shape) for weight in learned),
        "jit_compile": model.jit_compile,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
