r"""The overhead of `fit` over a training step written by hand for one backend.

    KERAS_BACKEND=jax python -m benchmarks.overhead --output=overhead_jax.json

SimCLR without the online probe, ResNet-18, 256 images of 32 pixels, random images in memory, XLA. By hand:
the same views, encoder, projector, loss and optimizer in one compiled function and a `for` loop over batches.
Ours: `fit` on `ImageDataset`, with the metrics that every method reports. Both sides alternate in one
process; the ratio of each round is time by `fit` over time by hand.
"""

import argparse
import os
import statistics
import sys
import time

import keras
import numpy as np
from keras import ops

import kerassl
from benchmarks import results_file
from benchmarks.kerassl_loop import Window
from kerassl.engine import StepSeed


def build(width: int):
    """The untrained method and its optimizer."""
    keras.utils.set_random_seed(0)
    encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", stem_stride=2, width=width)
    return kerassl.methods.SimCLR(encoder), kerassl.optimizers.AdamW(1e-3, weight_decay=1e-4)


def forward(model, images, step):
    """The loss of a batch, written out."""
    views = ops.concatenate(model.views(images, seed=StepSeed(0, step)))
    projections = model.projector(model.encoder(views, training=True), training=True)
    return kerassl.losses.contrastive.nt_xent(*ops.split(projections, 2), temperature=model.temperature)


def tensorflow_step(model, optimizer, jit: bool):
    """A function of (images, step) that trains and returns the loss."""
    import tensorflow as tf

    variables = model.encoder.trainable_variables + model.projector.trainable_variables
    optimizer.build(variables)

    @tf.function(jit_compile=jit)
    def train(images, step):
        with tf.GradientTape() as tape:
            loss = forward(model, images, step)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return lambda images, step: train(tf.constant(images), tf.constant(step, "int32"))


def jax_step(model, optimizer):
    """A function of (images, step) that trains and returns the loss."""
    import jax

    parts = (model.encoder, model.projector)
    trainable = [v for part in parts for v in part.trainable_variables]
    others = [v for part in parts for v in part.non_trainable_variables]
    optimizer.build(trainable)

    def loss_and_others(values, other_values, images, step):
        mapping = list(zip(trainable + others, [*values, *other_values], strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            loss = forward(model, images, step)
        return loss, [scope.get_current_value(v) for v in others]

    def train(state, images, step):
        values, other_values, slots = state
        gradient = jax.value_and_grad(loss_and_others, has_aux=True)
        (loss, other_values), gradients = gradient(values, other_values, images, step)
        values, slots = optimizer.stateless_apply(slots, gradients, values)
        return loss, (values, other_values, slots)

    compiled = jax.jit(train, donate_argnums=0)
    # Copies: the buffers that are donated must not be the variables' own.
    state = [[jax.numpy.array(v.value) for v in group] for group in (trainable, others, optimizer.variables)]

    def run(images, step):
        nonlocal state
        loss, state = compiled(tuple(state), images, step)
        return loss

    return run


def by_hand(step_function, images: np.ndarray, batch_size: int, warmup: int, steps: int, epoch: int):
    """Wall and CPU seconds of `steps` steps after `warmup` steps."""
    order = np.random.default_rng(epoch).permutation(len(images))
    for step in range(warmup + steps):
        rows = order[step * batch_size : (step + 1) * batch_size]
        loss = step_function(images[rows], epoch * (warmup + steps) + step)
        if step + 1 == warmup:
            float(loss)
            start, cpu = time.perf_counter(), time.process_time()
    float(loss)
    return time.perf_counter() - start, time.process_time() - cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="timed steps of a round")
    parser.add_argument("--warmup", type=int, default=2, help="steps of a round before the clock starts")
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--jit", action=argparse.BooleanOptionalAction, default=True, help="on TensorFlow")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    backend, length = keras.backend.backend(), arguments.warmup + arguments.steps
    if backend not in ("tensorflow", "jax"):
        sys.exit("torch runs both steps eagerly; set KERAS_BACKEND to tensorflow or jax.")
    shape = (length * arguments.batch_size, 32, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    load_average = os.getloadavg()[0]

    ours, optimizer = build(arguments.width)
    ours.compile(optimizer, jit_compile=arguments.jit or backend == "jax")
    dataset = kerassl.data.ImageDataset(images, batch_size=arguments.batch_size, shuffle=True)
    its, optimizer = build(arguments.width)
    step = jax_step(its, optimizer) if backend == "jax" else tensorflow_step(its, optimizer, arguments.jit)

    rounds = []
    for index in range(arguments.rounds + 1):
        window = Window(arguments.warmup, arguments.steps)
        ours.fit(dataset, initial_epoch=index, epochs=index + 1, callbacks=[window], verbose=0)
        seconds, cpu_seconds = by_hand(
            step, images, arguments.batch_size, arguments.warmup, arguments.steps, index
        )
        # The first round compiles.
        if index:
            rounds.append(
                {
                    "fit_ms": 1000 * window.seconds / arguments.steps,
                    "by_hand_ms": 1000 * seconds / arguments.steps,
                    "ratio": window.seconds / seconds,
                    "cpu_ratio": window.cpu_seconds / cpu_seconds,
                }
            )
            print(", ".join(f"{name} {value:.3f}" for name, value in rounds[-1].items()), flush=True)
    medians = {name: round(statistics.median(r[name] for r in rounds), 4) for name in rounds[0]}
    print(f"{backend}: " + ", ".join(f"{name} {value:.3f}" for name, value in medians.items()))
    if arguments.output:
        run = {**results_file.describe_run(), "jit_compile": arguments.jit or backend == "jax"}
        run |= {"load_average_at_start": round(load_average, 2), "medians": medians, "rounds": rounds}
        results_file.write(arguments.output, run)


if __name__ == "__main__":
    main()
