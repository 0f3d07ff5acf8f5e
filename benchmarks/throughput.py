"""Images per second of the whole training loop, ours against lightly's, on the same cores.

    python -m benchmarks.throughput --data=cifar10_jpeg.npz --methods=simclr,byol --output=throughput.json

Views, forward, backward and optimizer, batch 256 of 32-pixel images, ResNet-18 of width 16. Each round runs
ours, then the peer, each in a process of its own (`benchmarks.kerassl_loop`, `benchmarks.lightly_loop`);
the clock runs over `--steps` steps after `--warmup` steps. The peer gets the fastest of 0, 1 and 2 loader
processes, and `torch.compile` where that helps it, as found before the rounds; batches that its loaders have
ready when the clock starts count for it. Memory is the peak of the process, plus, for the peer, what its
loader processes hold for themselves.
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
from benchmarks import cpu_protocol, results_file
from benchmarks.workers import measure


def choose_peer(peer, workers: list[int], try_compile: bool) -> tuple[dict, dict]:
    """The peer's fastest options, and what each gave in images per second."""
    tried, best = {}, {"workers": workers[0], "compile": False}
    candidates = [{"workers": count, "compile": False} for count in workers]
    fastest = 0.0
    for options in candidates:
        name = f"workers={options['workers']}" + (", compile" if options["compile"] else "")
        try:
            tried[name] = round(peer(**options)["images_per_second"], 1)
        except RuntimeError as error:
            if not options["compile"]:
                raise
            tried[name] = str(error).splitlines()[-1]
            continue
        print(f"  peer, {name}: {tried[name]} images/s", flush=True)
        if tried[name] > fastest:
            fastest, best = tried[name], options
        if try_compile and options is candidates[len(workers) - 1]:
            candidates.append({**best, "compile": True})
    return best, tried


def summarise(rounds: list[dict]) -> dict:
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
    settings = {"width": cpu_protocol.WIDTH, "batch_size": cpu_protocol.BATCH_SIZE}
    settings |= cpu_protocol.SETTINGS[method]
    length = [f"--warmup={arguments.warmup}", f"--steps={arguments.steps}"]

    def ours():
        command = [sys.executable, "-m", "benchmarks.kerassl_loop", f"--data={arguments.data.resolve()}"]
        command += [f"--method={method}", f"--num_images={arguments.num_images}", f"--jit={arguments.jit}"]
        return measure([*command, *length], KERAS_BACKEND=arguments.backend, TF_CPP_MIN_LOG_LEVEL="3")

    def peer(workers: int, compile: bool):
        command = [arguments.peer_python, "-m", "benchmarks.lightly_loop", f"--images={images}"]
        command += [f"--method={method}", f"--settings={json.dumps(settings)}", f"--workers={workers}"]
        return measure([*command, *length, *(["--compile"] if compile else [])])

    options, tried = choose_peer(peer, arguments.peer_workers, arguments.peer_compile)
    measured = {"kerassl": [], "lightly": []}
    for index in range(arguments.rounds):
        measured["kerassl"].append(ours())
        measured["lightly"].append(peer(**options))
        rates = [measured[side][-1]["images_per_second"] for side in measured]
        ratio = rates[0] / rates[1]
        print(f"  {method} {index + 1}: {rates[0]:.0f} and {rates[1]:.0f}, ratio {ratio:.2f}", flush=True)
    sides = {side: summarise(rounds) for side, rounds in measured.items()}
    sides["kerassl"]["jit_compile"] = measured["kerassl"][0]["jit_compile"]
    sides["lightly"] |= {"options": options, "tried": tried, "versions": measured["lightly"][0]["versions"]}
    pairs = zip(sides["kerassl"]["rounds"], sides["lightly"]["rounds"], strict=True)
    medians = [side["images_per_second"] for side in sides.values()]
    return {
        "ratio": round(medians[0] / medians[1], 3),
        "ratio_per_round": [round(mine / its, 3) for mine, its in pairs],
        **sides,
        "settings": settings,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="path of cifar10_jpeg.npz")
    parser.add_argument("--methods", default="simclr,byol", help="of simclr and byol, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="timed steps of a measurement")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the clock starts")
    parser.add_argument("--num_images", type=int, default=10_000)
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"), default="tensorflow")
    parser.add_argument("--jit", choices=("auto", "true", "false"), default="auto")
    parser.add_argument("--peer_python", default=sys.executable, help="a Python that has lightly")
    parser.add_argument("--peer_workers", type=json.loads, default=[0, 1, 2], help="JSON list to choose from")
    parser.add_argument("--peer_compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    methods = arguments.methods.split(",")
    if unknown := set(methods) - {"simclr", "byol"}:
        parser.error(f"the peer has no {', '.join(sorted(unknown))}; choose of simclr and byol.")
    if min(arguments.rounds, arguments.steps, arguments.warmup) < 1:
        parser.error("--rounds, --steps and --warmup must be at least 1.")

    load_average = os.getloadavg()[0]
    train, _, _ = kerassl.data.load(f"npz:{arguments.data}", limit_train=arguments.num_images, limit_test=1)
    with tempfile.TemporaryDirectory() as folder:
        images = pathlib.Path(folder, "images.npy")
        np.save(images, train.images)
        results = {method: compare(method, arguments, images) for method in methods}

    print(
        f"{'':10}{'kerassl':>12}{'lightly':>12}{'ratio':>8}   images/s, medians of {arguments.rounds} rounds"
    )
    for method, result in results.items():
        rates = [result[side]["images_per_second"] for side in ("kerassl", "lightly")]
        print(f"{method:10}{rates[0]:12.1f}{rates[1]:12.1f}{result['ratio']:8.2f}")
    if arguments.output:
        run = {**results_file.describe_run(), "backend": arguments.backend}
        length = {"steps": arguments.steps, "warmup": arguments.warmup, "rounds": arguments.rounds}
        results_file.write(
            arguments.output, {**run, "load_average_at_start": round(load_average, 2), **length, **results}
        )


if __name__ == "__main__":
    main()
