r"""The time of a DINO step with several prototype heads, relative to one head.

    KERAS_BACKEND=tensorflow python -m benchmarks.ensemble_cost --output=ensemble_cost.json

ViT-S/16, two crops of 224 pixels, ready views, so that only networks, loss and update are timed. Both
models alternate in one process; the ratio of each round is time with all heads over time with one.
"""

import argparse
import statistics

import keras
import numpy as np

import kerassl
from benchmarks import results_file
from benchmarks.kerassl_loop import Window


def build(arguments, num_heads: int) -> kerassl.SSLModel:
    """DINO on a ViT of the size, compiled."""
    keras.utils.set_random_seed(0)
    shape = (arguments.image_size, arguments.image_size, 3)
    encoder = kerassl.backbones.vit(shape, size=arguments.size, patch_size=arguments.patch_size)
    model = kerassl.methods.DINO(
        encoder,
        views=None,
        num_prototypes=arguments.num_prototypes,
        num_heads=num_heads,
        ensemble_weighting="entropy",
    )
    model.compile(kerassl.optimizers.AdamW(1e-4, weight_decay=0.04, clipnorm=3.0))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--num_prototypes", type=int, default=4096, help="of a head, in both models")
    parser.add_argument("--size", default="small")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--patch_size", type=int, default=16)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="timed steps of a round")
    parser.add_argument("--warmup", type=int, default=1, help="steps of a round before the clock starts")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    count = (arguments.warmup + arguments.steps) * arguments.batch_size
    shape = (count, arguments.image_size, arguments.image_size, 3)
    views = tuple(np.random.default_rng(seed).normal(size=shape).astype("float32") for seed in (0, 1))
    models = {"one": build(arguments, 1), "all": build(arguments, arguments.heads)}
    rounds = []
    for index in range(arguments.rounds + 1):
        seconds = {}
        for name, model in models.items():
            window = Window(arguments.warmup, arguments.steps)
            model.fit(
                views,
                batch_size=arguments.batch_size,
                initial_epoch=index,
                epochs=index + 1,
                shuffle=False,
                callbacks=[window],
                verbose=0,
            )
            seconds[name] = window.seconds / arguments.steps
        # The first round compiles.
        if index:
            rounds.append({**seconds, "ratio": seconds["all"] / seconds["one"]})
            print(", ".join(f"{name} {value:.3f}" for name, value in rounds[-1].items()), flush=True)
    medians = {name: round(statistics.median(r[name] for r in rounds), 4) for name in rounds[0]}
    print(f"{arguments.heads} heads over one: {medians['ratio']:.3f}")
    if arguments.output:
        results_file.write(
            arguments.output, {**results_file.describe_run(), "medians": medians, "rounds": rounds}
        )


if __name__ == "__main__":
    main()
