"""Pictures of a run's metrics."""

import pathlib

from .workdir import read_metrics

NAMES = (
    "loss", "probe_accuracy", "knn", "feature_std", "effective_rank", "rankme", "alpha_req", "uniformity",
    "learning_rate",
)  # fmt: skip


def metric_names(lines: list[dict]) -> list[str]:
    """The metrics worth a picture among those of a run's epochs, in a fixed order."""
    found = list(dict.fromkeys(name for line in lines for name in line if name.startswith(NAMES)))
    return sorted(found, key=lambda name: next(i for i, start in enumerate(NAMES) if name.startswith(start)))


def plot_curves(metrics: pathlib.Path, path: pathlib.Path) -> pathlib.Path | None:
    """Draws loss, accuracies and collapse statistics over the epochs as one PNG.

    Args:
        metrics: a run's `metrics.jsonl`.
        path: where the picture goes.

    Returns:
        The path, or `None` where there is nothing to draw.

    Raises:
        ImportError: if matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Plots need matplotlib: pip install "kerassl[plots]"') from error

    lines = read_metrics(metrics)
    found = metric_names(lines)
    if not found:
        return None
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(4 * columns, 2.8 * rows), layout="constrained")
    for index, name in enumerate(found):
        axes = figure.add_subplot(rows, columns, index + 1)
        points = [(line["epoch"], line[name]) for line in lines if name in line]
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else None)
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
    return path
