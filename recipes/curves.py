"""Pictures of a run's metrics."""

import os
import pathlib

from .workdir import read_metrics

NAMES = (
    "loss", "probe_accuracy", "knn", "feature_std", "effective_rank", "rankme", "alpha_req", "uniformity",
    "learning_rate",
)  # fmt: skip
# Of docs/collapse.md. A loss falls within a run, and is no measure between methods.
DIRECTIONS = {
    "loss": "falls in a run",
    "probe_accuracy": "higher is better",
    "knn": "higher is better",
    "feature_std": "near 1 is healthy, 0 collapsed",
    "effective_rank": "1 is collapsed",
    "rankme": "higher uses more directions",
    "alpha_req": "near 1 is good",
    "uniformity": "lower is more even",
}


def metric_names(lines: list[dict]) -> list[str]:
    """The metrics worth a picture among those of a run's epochs, in a fixed order."""
    found = list(dict.fromkeys(name for line in lines for name in line if name.startswith(NAMES)))
    return sorted(found, key=lambda name: next(i for i, start in enumerate(NAMES) if name.startswith(start)))


def direction(name: str) -> str:
    """Which way a metric is better: "higher is better", "near 1 is good", or "" where neither is.

    Example:
        >>> from recipes.curves import direction
        >>> direction("knn_k20_t0.1"), direction("learning_rate")
        ('higher is better', '')
    """
    return next((text for start, text in DIRECTIONS.items() if name.startswith(start)), "")


def style_axes(axes, name: str) -> None:  # noqa: ANN001
    """Titles a picture of a metric over epochs: its name, the good direction, ticks at whole epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(name, fontsize=10, loc="left")
    axes.set_title(direction(name), fontsize=8, loc="right", color="0.4")
    axes.set_xlabel("epoch", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


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
        style_axes(axes, name)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    figure.savefig(partial, dpi=100)
    os.replace(partial, path)
    return path
