"""Time and memory of each loss, value and gradient, kerassl against lightly, on the same cores.

    python -m benchmarks.losses --output=losses.json

Batch 4096 and the widths of lightly's own examples (`benchmarks.loss_cases`). Each variant of a loss has a
process of its own (`benchmarks.kerassl_losses`, `benchmarks.lightly_losses`), and they alternate. The
inputs are equal on both sides, and the values must agree. kerassl runs under XLA on TensorFlow and JAX, the
peer eagerly and under `torch.compile`; the ratio is that of the faster of each pair, medians of interleaved
rounds. Memory is the rise of the process's resident memory in the first call at the full batch, after one at
a small batch.
"""

import argparse
import math
import os
import statistics
import sys

from benchmarks import loss_cases, results_file
from benchmarks.workers import Worker

OURS = {"TensorFlow XLA": "tensorflow", "JAX": "jax"}
PEER = {"torch eager": [], "torch.compile": ["--compile"]}


def same_value(name: str, ours: float, its: float) -> bool:
    """Whether both sides computed the same loss; lightly's loss for BYOL is the negative cosine."""
    return math.isclose(ours, 2 + 2 * its if name == "byol" else its, rel_tol=1e-3, abs_tol=1e-5)


def compare(name: str, arguments) -> dict:
    """Interleaved rounds of one loss."""
    length = [f"--loss={name}", f"--batch_size={arguments.batch_size}", f"--seconds={arguments.seconds}"]
    commands = {
        variant: ([sys.executable, "-m", "benchmarks.kerassl_losses", *length], {"KERAS_BACKEND": backend})
        for variant, backend in OURS.items()
    }
    for variant, flags in PEER.items():
        commands[variant] = ([arguments.peer_python, "-m", "benchmarks.lightly_losses", *length, *flags], {})
    workers: dict[str, Worker] = {}
    runs: dict[str, list[dict]] = {variant: [] for variant in commands}
    try:
        for _ in range(arguments.rounds):
            for variant, (command, environment) in commands.items():
                # One after the other: none gets ready while another measures.
                if variant not in workers:
                    workers[variant] = Worker(command, TF_CPP_MIN_LOG_LEVEL="3", **environment)
                runs[variant].append(workers[variant].measure())
    finally:
        for worker in workers.values():
            worker.close()
    values = {variant: measured[0]["value"] for variant, measured in runs.items()}
    if not all(same_value(name, values[ours], values[its]) for ours in OURS for its in PEER):
        raise RuntimeError(f"{name}: the sides computed different losses: {values}")
    variants = {}
    for variant, measured in runs.items():
        rounds = [round(1000 * m["seconds"], 3) for m in measured]
        variants[variant] = {"milliseconds": statistics.median(rounds), "rounds": rounds}
        for key in ("memory_growth_mib", "xla_temporary_mib"):
            found = [m[key] for m in measured if m.get(key) is not None]
            if found:
                variants[variant][key] = round(statistics.median(found), 1)
    ours = min(OURS, key=lambda variant: variants[variant]["milliseconds"])
    its = min(PEER, key=lambda variant: variants[variant]["milliseconds"])
    return {
        "width": loss_cases.CASES[name]["width"],
        "ratio": round(variants[its]["milliseconds"] / variants[ours]["milliseconds"], 3),
        "kerassl": ours,
        "lightly": its,
        "variants": variants,
        "versions_of_peer": runs[its][0]["versions"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", default=",".join(loss_cases.CASES), help="names, separated by commas")
    parser.add_argument("--batch_size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a measurement")
    parser.add_argument("--peer_python", default=sys.executable, help="a Python that has lightly")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    names = arguments.losses.split(",")
    if unknown := set(names) - set(loss_cases.CASES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose of {', '.join(loss_cases.CASES)}.")

    results = {}
    print(f"batch {arguments.batch_size}, {os.cpu_count()} cores, medians of {arguments.rounds} rounds")
    print(f"{'':18}{'kerassl':>26}{'lightly':>26}{'ratio':>8}{'MiB':>16}   width")
    for name in names:
        load_average = round(os.getloadavg()[0], 2)
        results[name] = result = compare(name, arguments)
        cells, memory = [], []
        for side in (result["kerassl"], result["lightly"]):
            measured = result["variants"][side]
            cells.append(f"{measured['milliseconds']:.2f} ms {side}")
            memory.append(f"{measured.get('memory_growth_mib', math.nan):.0f}")
        sizes = " / ".join(memory)
        line = f"{name:18}{cells[0]:>26}{cells[1]:>26}{result['ratio']:8.2f}{sizes:>16}   {result['width']}"
        print(line, flush=True)
        if arguments.output:
            run = {
                **results_file.describe_run(),
                "batch_size": arguments.batch_size,
                "rounds": arguments.rounds,
            }
            run["load_average_at_start"] = load_average
            results_file.add(arguments.output, name, {**run, **result})
    print(f"median ratio {statistics.median(result['ratio'] for result in results.values()):.2f}")


if __name__ == "__main__":
    main()
