"""Images per second of the whole training loop, kerassl against lightly, on the same cores.

    python -m benchmarks.throughput --data=cifar10_jpeg.npz --output=throughput.json

Views, forward, backward and optimizer: ResNet-18 of width 16 on batches of 256 images of 32 pixels for
SimCLR, BYOL and DINO, ViT-S/16 on batches of 32 images of 224 pixels (enlarged in memory) for MAE
(`benchmarks.throughput_settings`). Each round runs ours, then the peer, each in its own process
(`benchmarks.kerassl_loop`, `benchmarks.lightly_loop`); the clock runs over `--steps` steps after `--warmup`
steps. Before the rounds each side gets its fastest options: ours of `--variants`; the peer of 0, 1 and 2
loader processes, then channels-last, bfloat16 autocast and `torch.compile`, each kept if it helps. Batches
that its loaders have ready when the clock starts count for it. Memory is the peak of the process, plus, for
the peer, what its loader processes hold for themselves.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

import numpy as np

import kerassl
from benchmarks import results_file, throughput_settings
from benchmarks.workers import measure


def try_options(tried: dict, side: str, name: str, run) -> float:
    """Images per second of one run, noted in `tried`; 0 if it fails."""
    try:
        tried[name] = round(run()["images_per_second"], 1)
    except RuntimeError as error:
        tried[name] = str(error).splitlines()[-1]
        print(f"  {side}, {name}: {tried[name]}", flush=True)
        return 0.0
    print(f"  {side}, {name}: {tried[name]} images/s", flush=True)
    return tried[name]


def choose_ours(ours, variants: list[str]) -> tuple[str, dict]:
    """Our fastest variant, and what each gave in images per second."""
    tried: dict = {}
    rates = {name: try_options(tried, "ours", name, lambda name=name: ours(name)) for name in variants}
    return max(rates, key=rates.get), tried


def choose_peer(peer, workers: list[int], flags: list[str]) -> tuple[dict, dict]:
    """The peer's fastest options, and what each gave in images per second."""
    tried, best, fastest = {}, {}, -1.0
    candidates = [{"workers": count, "flags": []} for count in workers]
    for flag in [None, *flags]:
        if flag is not None:
            candidates = [{**best, "flags": [*best["flags"], flag]}]
        for options in candidates:
            name = ", ".join([f"workers={options['workers']}", *options["flags"]])
            rate = try_options(tried, "peer", name, lambda options=options: peer(**options))
            if rate > fastest:
                fastest, best = rate, options
    return best, tried


def summarize(rounds: list[dict]) -> dict:
    """Medians over rounds, and the rounds' images per second."""
    rates = [round(measured["images_per_second"], 1) for measured in rounds]
    return {
        "images_per_second": statistics.median(rates),
        "rounds": rates,
        "seconds_to_first_step": round(statistics.median(m["seconds_to_first_step"] for m in rounds), 2),
        "peak_memory_mib": round(max(measured["peak_memory_mib"] for measured in rounds)),
        "parameters": rounds[0]["parameters"],
    }


def compare(method: str, arguments, images: pathlib.Path) -> dict:
    """Interleaved rounds of one method."""
    settings = throughput_settings.SETTINGS[method]
    common = [f"--images={images}", f"--method={method}", f"--settings={json.dumps(settings)}"]
    common += [f"--warmup={arguments.warmup}", f"--steps={arguments.steps}"]

    def ours(variant: str):
        backend, *flags = variant.split("+")
        command = [sys.executable, "-m", "benchmarks.kerassl_loop", *common, *(f"--{flag}" for flag in flags)]
        return measure(command, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3")

    def peer(workers: int, flags: list[str]):
        command = [arguments.peer_python, "-m", "benchmarks.lightly_loop", *common, f"--workers={workers}"]
        return measure([*command, *(f"--{flag}" for flag in flags)])

    variant, our_tries = choose_ours(ours, arguments.variants.split(","))
    options, tried = choose_peer(peer, arguments.peer_workers, arguments.peer_flags.split(","))
    measured = {"kerassl": [], "lightly": []}
    for index in range(arguments.rounds):
        measured["kerassl"].append(ours(variant))
        measured["lightly"].append(peer(**options))
        rates = [measured[side][-1]["images_per_second"] for side in measured]
        ratio = rates[0] / rates[1]
        print(f"  {method} {index + 1}: {rates[0]:.0f} and {rates[1]:.0f}, ratio {ratio:.2f}", flush=True)
    sides = {side: summarize(rounds) for side, rounds in measured.items()}
    sides["kerassl"] |= {"variant": variant, "tried": our_tries}
    sides["lightly"] |= {"options": options, "tried": tried, "versions": measured["lightly"][0]["versions"]}
    pairs = zip(sides["kerassl"]["rounds"], sides["lightly"]["rounds"], strict=True)
    medians = [side["images_per_second"] for side in sides.values()]
    return {
        "ratio": round(medians[0] / medians[1], 3),
        "ratio_per_round": [round(mine / its, 3) for mine, its in pairs],
        **sides,
        "settings": settings,
    }


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """The images, or a twentieth of them with each pixel repeated to `size`."""
    if images.shape[1] == size:
        return images
    images = images[: max(64, len(images) // 20)]
    factor = -(-size // images.shape[1])
    return images.repeat(factor, axis=1).repeat(factor, axis=2)[:, :size, :size]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="path of cifar10_jpeg.npz")
    parser.add_argument("--methods", default=",".join(throughput_settings.SETTINGS), help="with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="timed steps of a measurement")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the clock starts")
    parser.add_argument("--num_images", type=int, default=10_000, help="of 32 pixels; of 224 a twentieth")
    parser.add_argument(
        "--variants",
        default="tensorflow,tensorflow+jit,jax",
        help="what to choose ours from: backends, with +jit and +bfloat16 as wanted",
    )
    parser.add_argument("--peer_python", default=sys.executable, help="a Python that has lightly")
    parser.add_argument("--peer_workers", type=json.loads, default=[0, 1, 2], help="JSON list to choose from")
    parser.add_argument("--peer_flags", default="channels_last,autocast,compile", help="tried in this order")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    methods = arguments.methods.split(",")
    if unknown := set(methods) - set(throughput_settings.SETTINGS):
        known = ", ".join(throughput_settings.SETTINGS)
        parser.error(f"unknown methods {', '.join(sorted(unknown))}; choose of {known}.")
    if min(arguments.rounds, arguments.steps, arguments.warmup) < 1:
        parser.error("--rounds, --steps and --warmup must be at least 1.")

    load_average = os.getloadavg()[0]
    train, _, _ = kerassl.data.load(f"npz:{arguments.data}", limit_train=arguments.num_images, limit_test=1)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for method in methods:
            size = throughput_settings.SETTINGS[method]["image_size"]
            images = pathlib.Path(folder, f"{size}.npy")
            if not images.exists():
                np.save(images, enlarge(train.images, size))
            results[method] = compare(method, arguments, images)

    print(f"medians of {arguments.rounds} rounds")
    print(f"{'':8}{'images/s':>20}{'ratio':>8}{'peak MiB':>16}{'first step, s':>18}   ours; lightly")
    for method, result in results.items():
        sides = [result[side] for side in ("kerassl", "lightly")]
        cells = [
            " / ".join(f"{side[key]:.{digits}f}" for side in sides)
            for key, digits in (
                ("images_per_second", 1),
                ("peak_memory_mib", 0),
                ("seconds_to_first_step", 1),
            )
        ]
        options = ", ".join([f"workers={sides[1]['options']['workers']}", *sides[1]["options"]["flags"]])
        print(
            f"{method:8}{cells[0]:>20}{result['ratio']:8.2f}{cells[1]:>16}{cells[2]:>18}   "
            f"{sides[0]['variant']}; {options}"
        )
    if arguments.output:
        run = results_file.describe_run()
        length = {"steps": arguments.steps, "warmup": arguments.warmup, "rounds": arguments.rounds}
        results_file.write(
            arguments.output, {**run, "load_average_at_start": round(load_average, 2), **length, **results}
        )


if __name__ == "__main__":
    main()
