r"""Weighted kNN beside scikit-learn's brute force: time, answers and memory.

    KERAS_BACKEND=tensorflow python -m benchmarks.knn --output=knn.json
    python -m benchmarks.knn --bank=1200000 --dim=2048 --queries=1000 --classes=1000 --rounds=1 --alone

Random features about class means: by default 10,000 queries on a bank of 50,000 x 512. Both compare features
of length one, scikit-learn by Euclidean distance, with equal weights. Memory is the rise of the resident one.
"""

import argparse
import statistics
import time

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from benchmarks import memory, results_file
from kerassl.evaluation import knn


def features(arguments) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bank and queries with their classes."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(arguments.classes, arguments.dim)).astype("float32")
    parts = []
    for count in (arguments.bank, arguments.queries):
        labels = rng.integers(0, arguments.classes, count)
        rows = np.empty((count, arguments.dim), "float32")
        # By pieces, since a large bank has no room for a second copy.
        for start in range(0, count, 10_000):
            piece = rows[start : start + 10_000]
            rng.standard_normal(piece.shape, "float32", out=piece)
            piece *= 4
            piece += means[labels[start : start + 10_000]]
        parts += [rows, labels]
    return tuple(parts)


def scikit_learn(arguments, bank, labels, queries) -> np.ndarray:  # noqa: ANN001
    """The classes that scikit-learn's kNN gives; of unit features, a distance d is the cosine 1 - d^2 / 2."""

    def weights(distances: np.ndarray) -> np.ndarray:
        return np.exp((1 - distances**2 / 2) / arguments.temperature)

    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries)]
    classifier = KNeighborsClassifier(arguments.k, weights=weights, algorithm="brute")
    return classifier.fit(unit[0], labels).predict(unit[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bank", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="without scikit-learn, which copies the bank")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    bank, labels, queries, truth = features(arguments)
    calls = {
        "kerassl": lambda: knn(bank, labels, queries, arguments.k, arguments.temperature),
        "scikit-learn": lambda: scikit_learn(arguments, bank, labels, queries),
    }
    if arguments.alone:
        del calls["scikit-learn"]
    seconds, answers, rises = {}, {}, {}
    for name, call in calls.items():
        # The first call compiles, where something is compiled.
        rises[name] = memory.growth_mib(call)
        seconds[name] = []
        for _ in range(arguments.rounds):
            start = time.perf_counter()
            answers[name] = call()
            seconds[name].append(round(time.perf_counter() - start, 3))
        print(f"{name}: {statistics.median(seconds[name]):.2f} s, {rises[name]} MiB", flush=True)
    differing = {name: int(np.sum(answers["kerassl"] != found)) for name, found in answers.items()}
    del differing["kerassl"]
    accuracy = {name: float(np.mean(found == truth)) for name, found in answers.items()}
    print(f"answers that differ, of {arguments.queries}: {differing}; accuracy {accuracy}")
    if arguments.output:
        results_file.write(
            arguments.output,
            {
                **results_file.describe_run(),
                "settings": {name: value for name, value in vars(arguments).items() if name != "output"},
                "seconds": {n: {"median": statistics.median(s), "rounds": s} for n, s in seconds.items()},
                "memory_mib": rises,
                "answers_that_differ": differing,
                "accuracy": accuracy,
            },
        )


if __name__ == "__main__":
    main()
