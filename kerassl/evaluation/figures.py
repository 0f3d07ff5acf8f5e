"""Pictures of encoders and features: spectrum, sparsity, map, neighbors, confusion."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerassl.evaluation.knn import largest
from kerassl.evaluation.pictures import thumbnail, tiles
from kerassl.evaluation.sparsity import SparsityCurve
from kerassl.metrics.features import check_features, l2_normalize
from kerassl.metrics.power_law import eigenspectrum

UMAP_NEIGHBORS = 15
FRAME = (200, 30, 30)
# Distinguishable also without colors.
LINES = ("-", "--", ":", "-.")
MARKERS = "os^vDP*X<>"
# Classes of a table of which all are drawn, named or not.
_LARGEST_CONFUSION = 1000


def new_figure(width: float = 7.0, height: float = 3.4) -> Any:
    """An empty matplotlib figure, in inches.

    Raises:
        ImportError: if matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Plots need matplotlib: pip install "kerassl[plots]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def plain(text: object) -> str:
    r"""Text that matplotlib draws as it is: names of classes and runs are no formulas.

    Characters that no file can hold, of names that are no text, are written like \\xe9.

    Example:
        >>> from kerassl.evaluation.figures import plain
        >>> print(plain("$x_{$"))
        \$x_{\$
    """
    shown = str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return shown.replace("$", r"\$")


def spectrum_figure(features: Mapping[str, np.ndarray]) -> Any:
    """The eigenvalues of the covariance of features, on logarithmic axes, a line for each encoder.

    Args:
        features: `{name: (number, dim)}`.

    Returns:
        A matplotlib figure.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.figures import spectrum_figure
        >>> figure = spectrum_figure({"mine": np.random.default_rng(0).normal(size=(20, 4))})
        >>> len(figure.axes[0].lines[0].get_xdata())
        4
    """
    figure = new_figure()
    axes = figure.add_subplot()
    for index, (name, values) in enumerate(features.items()):
        shares = eigenspectrum(values)
        shares = shares[shares > 1e-12]
        line = LINES[index % len(LINES)]
        axes.loglog(np.arange(1, len(shares) + 1), shares, line, label=plain(name), linewidth=1.5)
    axes.set_xlabel("rank")
    axes.set_ylabel("share of the variance")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def sparsity_figure(curves: Mapping[str, SparsityCurve]) -> Any:
    """Scores of pruned encoders over the share of their weights that are zero, a line for each encoder.

    Args:
        curves: `{name: curve}` as of `essential_sparsity`.

    Returns:
        A matplotlib figure.

    Example:
        >>> from kerassl.evaluation import SparsityCurve
        >>> from kerassl.evaluation.figures import sparsity_figure
        >>> figure = sparsity_figure({"mine": SparsityCurve((0.0, 0.5), (0.9, 0.6), 0.0)})
        >>> figure.axes[0].lines[0].get_ydata().tolist()
        [0.9, 0.6]
    """
    figure = new_figure()
    axes = figure.add_subplot()
    for index, (name, curve) in enumerate(curves.items()):
        line = LINES[index % len(LINES)]
        axes.plot(
            curve.sparsities, curve.scores, line, marker=MARKERS[index % len(MARKERS)], label=plain(name)
        )
    axes.set_xlabel("share of weights that are zero")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def map_figure(
    features: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    method: str = "pca",
    thumbnails: int = 40,
    seed: int = 0,
) -> Any:
    """Features in the plane, colored by class, some of them as thumbnails.

    Args:
        features: `(number, dim)`.
        images: `(number, height, width, channels)` of the same rows.
        labels: `(number,)` integers, -1 for none.
        class_names: names of the classes.
        method: "pca", or "umap" (`pip install "kerassl[umap]"`), which needs a few more images than 15.
        thumbnails: images shown, chosen at random.
        seed: chooses them, and starts UMAP.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: for an unknown method.
        ImportError: if matplotlib, or for "umap" umap-learn, is missing.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.figures import map_figure
        >>> rng = np.random.default_rng(0)
        >>> figure = map_figure(rng.normal(size=(9, 4)), np.zeros((9, 8, 8, 1)), np.arange(9) % 3)
        >>> len(figure.axes)
        1
    """
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    places = plane(features, method, seed)
    figure = new_figure(5.0, 4.8)
    axes = figure.add_subplot()
    labels = np.full(len(places), -1) if labels is None else np.asarray(labels)
    classes = np.unique(labels)
    for index, label in enumerate(classes):
        members = places[labels == label]
        name = "no label" if label < 0 else plain(class_names[label] if class_names else label)
        color = "0.7" if label < 0 else f"C{index % 10}"
        marker = "." if label < 0 else MARKERS[index % len(MARKERS)]
        axes.scatter(*members.T, s=22, marker=marker, color=color, alpha=0.75, linewidths=0, label=name)
    rng = np.random.default_rng(seed)
    for index in rng.permutation(len(places))[:thumbnails]:
        picture = OffsetImage(thumbnail(images[index], 32), zoom=0.5)
        frame = {"edgecolor": "white", "linewidth": 1.5}
        axes.add_artist(AnnotationBbox(picture, places[index], pad=0, bboxprops=frame))
    axes.set_xticks([])
    axes.set_yticks([])
    if 1 < len(classes) <= 20:
        names = axes.get_legend_handles_labels()[1]
        # As many columns as the longest name leaves room for, at some 0.075 inches a letter.
        columns = max(1, min(len(names), 5, int(4.6 / (0.35 + 0.075 * max(map(len, names))))))
        rows = -(-len(names) // columns)
        figure.set_figheight(4.2 + 0.22 * rows)
        figure.legend(loc="outside lower center", ncols=columns, markerscale=1.5, frameon=False, fontsize=9)
    return figure


def plane(features: np.ndarray, method: str = "pca", seed: int = 0) -> np.ndarray:
    """Places `(number, 2)` of L2-normalized features, by PCA or UMAP.

    The sign of a principal component is such that its largest entry is positive. UMAP has its usual 15
    neighbors, by cosine, and the seed's random numbers, which makes it run on one core.

    Source: McInnes et al., UMAP, arXiv 1802.03426.

    Raises:
        ValueError: for an unknown method, or features that do not fit.
        ImportError: if umap-learn is missing.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.figures import plane
        >>> plane(np.eye(3)).shape
        (3, 2)
    """
    unit = l2_normalize(check_features(features, None, "features")[0])
    if method == "umap":
        try:
            import numba
            from umap import UMAP
        except ImportError as error:
            raise ImportError('A UMAP needs umap-learn: pip install "kerassl[umap]"') from error
        if len(unit) <= UMAP_NEIGHBORS:
            raise ValueError(f"A UMAP needs more than {UMAP_NEIGHBORS} images, got {len(unit)}.")
        # Numba's OpenMP would also set torch's number of threads, permanently.
        numba.config.THREADING_LAYER = "workqueue"
        # One job, as the seed asks for anyway, and without a word of it.
        reducer = UMAP(UMAP_NEIGHBORS, metric="cosine", random_state=seed, n_jobs=1)
        return reducer.fit_transform(unit)
    if method != "pca":
        raise ValueError(f'method must be "pca" or "umap", not {method!r}.')
    centered = unit.astype("float64") - unit.mean(0, dtype="float64")
    _, vectors = np.linalg.eigh(centered.T @ centered)
    components = vectors[:, ::-1][:, :2]
    components = components * np.sign(
        components[np.abs(components).argmax(0), np.arange(components.shape[1])]
    )
    places = centered @ components
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))


def neighbors_picture(
    bank_features: np.ndarray,
    bank_images: np.ndarray,
    features: np.ndarray,
    images: np.ndarray,
    count: int = 8,
    queries: int = 8,
    size: int = 48,
    seed: int = 0,
    bank_labels: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Some images, each followed by its nearest neighbors in a bank: uint8 `(height, width, 3)`.

    Args:
        bank_features: `(bank, dim)`.
        bank_images: `(bank, height, width, channels)`.
        features: `(number, dim)`.
        images: `(number, height, width, channels)`.
        count: neighbors of each, the nearest first.
        queries: images shown, chosen at random.
        size: side of each in pixels.
        seed: chooses the images.
        bank_labels: `(bank,)` integers; neighbors of another class than the image get a frame.
        labels: `(number,)` integers; -1 for unlabeled.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.figures import neighbors_picture
        >>> images = np.zeros((9, 8, 8, 1), "uint8")
        >>> neighbors_picture(np.eye(9), images, np.eye(9), images, count=3, queries=2, size=10).shape
        (22, 50, 3)
    """
    bank = l2_normalize(check_features(bank_features, None, "bank_features")[0])
    chosen = np.random.default_rng(seed).permutation(len(features))[:queries]
    similarity = l2_normalize(np.asarray(features, "float32")[chosen]) @ bank.T
    values, nearest = largest(similarity, min(count, len(bank)))
    nearest = np.take_along_axis(nearest, np.argsort(-values, axis=1, kind="stable"), axis=1)
    sheets = []
    for query, row in zip(chosen, nearest, strict=True):
        own = thumbnail(images[query], size)
        others = [thumbnail(bank_images[i], size) for i in row]
        if bank_labels is not None and labels is not None and labels[query] >= 0:
            wrong = [0 <= bank_labels[i] != labels[query] for i in row]
            others = [framed(one) if w else one for one, w in zip(others, wrong, strict=True)]
        others = tiles(others, len(row), size)
        sheets.append(np.concatenate([own, np.full((size, 6, 3), 255, "uint8"), others], axis=1))
        sheets.append(np.full((2, sheets[0].shape[1], 3), 255, "uint8"))
    return np.concatenate(sheets[:-1])


def framed(picture: np.ndarray) -> np.ndarray:
    """A uint8 picture `(size, size, 3)` in a red frame."""
    width = max(len(picture) // 12, 1)
    made = np.empty_like(picture)
    made[:] = FRAME
    made[width:-width, width:-width] = picture[width:-width, width:-width]
    return made


def confusion_figure(
    predicted: np.ndarray, labels: np.ndarray, class_names: Sequence[str] | None = None
) -> Any:
    """Which classes are taken for which: shares of each true class, in percent.

    Args:
        predicted: `(number,)` integers.
        labels: `(number,)` integers; entries of -1 are left out.
        class_names: names of the classes.

    Returns:
        A matplotlib figure.

    Example:
        >>> from kerassl.evaluation.figures import confusion_figure
        >>> figure = confusion_figure([0, 1, 1], [0, 1, 0], ["cat", "dog"])
        >>> figure.axes[0].images[0].get_array().tolist()
        [[50.0, 50.0], [0.0, 100.0]]
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    known = labels >= 0
    if predicted.shape != labels.shape or predicted.ndim != 1 or not known.any():
        raise ValueError(
            f"predicted and labels must be as long, with a label of 0 or more; got the shapes "
            f"{predicted.shape} and {labels.shape}."
        )
    classes = np.unique(np.concatenate([predicted[known], labels[known]]))
    if class_names is None and classes[-1] >= _LARGEST_CONFUSION:
        # Numbers of classes may be large; the picture has those that there are.
        class_names = [str(one) for one in classes]
        predicted = np.searchsorted(classes, np.where(known, predicted, classes[0]))
        labels = np.where(known, np.searchsorted(classes, np.maximum(labels, 0)), -1)
    size = int(max(predicted[known].max(), labels.max())) + 1
    counts = np.zeros((size, size))
    np.add.at(counts, (labels[known], predicted[known]), 1)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(9.0, 2.2 + 0.28 * size)
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    names = [plain(name) for name in (class_names or range(size))]
    if size <= 30:
        axes.set_xticks(range(size), names, rotation=60, ha="right")
        axes.set_yticks(range(size), names)
    if size <= 15:
        for row, column in np.ndindex(size, size):
            if shares[row, column] >= 0.5:
                color = "white" if shares[row, column] > 50 else "black"
                text = f"{shares[row, column]:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class, percent of it")
    return figure
