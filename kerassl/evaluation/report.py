"""All protocols at once, and a table of a trained encoder, raw pixels and a random encoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerassl.data import ImageDataset, LazyImages
from kerassl.evaluation.clusters import cluster_scores
from kerassl.evaluation.embed import embed
from kerassl.evaluation.episodes import episode_accuracy
from kerassl.evaluation.few_labels import few_label_probe
from kerassl.evaluation.few_shot import few_shot
from kerassl.evaluation.knn import knn_accuracy
from kerassl.evaluation.linear import linear_probe
from kerassl.evaluation.naive_bayes import naive_bayes_probe
from kerassl.evaluation.ood import ood_detection
from kerassl.evaluation.retrieval import retrieval_map
from kerassl.evaluation.sgd_probe import sgd_probe
from kerassl.evaluation.transductive import constrained_kmeans, laplacian_shot, nearest_prototype
from kerassl.metrics.checks import check_count, check_names, check_number, short
from kerassl.metrics.features import check_array, check_features, drop_unlabeled
from kerassl.metrics.hypersphere import tolerance, uniformity
from kerassl.metrics.power_law import alpha_req
from kerassl.metrics.spectrum import rankme

PROTOCOLS = (
    "few_shot", "episodes", "transductive", "knn", "linear", "linear_sgd", "linear_1pct", "linear_10pct",
    "naive_bayes", "clustering", "retrieval", "rankme", "alpha_req", "uniformity", "tolerance",
)  # fmt: skip
# Pixels a side of which features are made.
_LARGEST_SIDE = 64
# Those of features alone.
WITHOUT_LABELS = ("rankme", "alpha_req", "uniformity")


def raw_pixels(train_images: np.ndarray, test_images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns pixels / 255 less the mean training image as features: the baseline of no encoder.

    Images with more than 64 pixels a side are averaged over the smallest squares that make them no larger:
    the features of photographs would else take more memory than all the rest.

    Args:
        train_images: `(train, height, width, channels)` in [0, 255].
        test_images: `(test, height, width, channels)` in [0, 255].

    Returns:
        `(train, dim)` and `(test, dim)` float32 features, one for each channel of each pixel or square.

    Raises:
        ValueError: for images of another rank or of two shapes.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import raw_pixels
        >>> train, test = raw_pixels(np.array([[[[0]]], [[[255]]]]), np.array([[[[255]]]]))
        >>> train.tolist(), test.tolist()
        ([[-0.5], [0.5]], [[0.5]])
    """
    train_images = check_images("train_images", train_images)
    test_images = check_images("test_images", test_images)
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            f"test_images must have the shape of train_images, {train_images.shape[1:]}; got "
            f"{test_images.shape[1:]}."
        )
    train, test = _pixels(train_images), _pixels(test_images)
    mean = train.mean(0, dtype="float64").astype("float32")
    return train - mean, test - mean


def check_images(name: str, images: np.ndarray | LazyImages) -> np.ndarray | LazyImages:
    """Raises `ValueError` unless images have the shape `(number, height, width, channels)`."""
    if isinstance(images, LazyImages):
        return images
    return check_array(name, images, ("number", "height", "width", "channels"))


def _pixels(images: np.ndarray):
    number, height, width, channels = images.shape
    side = -(-max(height, width) // _LARGEST_SIDE)
    tall, wide = min(side, height), min(side, width)
    rows, columns = height // tall, width // wide
    pixels = np.empty((number, rows * columns * channels), "float32")
    for start in range(0, number, 256):
        part = np.asarray(images[start : start + 256], "float32")[:, : rows * tall, : columns * wide]
        squares = part.reshape(len(part), rows, tall, columns, wide, channels).mean((2, 4))
        pixels[start : start + 256] = squares.reshape(len(part), -1) / 255
    return pixels


def evaluate_features(
    train_features: np.ndarray,
    train_labels: np.ndarray | None,
    test_features: np.ndarray,
    test_labels: np.ndarray | None,
    shots: Sequence[int] = (1, 5),
    draws: int = 100,
    k: int = 20,
    temperature: float = 0.1,
    num_classes: int | None = None,
    l2: float = 1e-3,
    seed: int = 0,
    protocols: Sequence[str] = ("few_shot", "knn", "linear", "rankme"),
    ood_features: np.ndarray | None = None,
    verbose: int = 0,
) -> dict[str, float | tuple[float, float]]:
    """Returns the result of each protocol under a name that spells its settings.

    Args:
        train_features: `(train, dim)`: the bank of kNN and few-shot, the training set of the linear probe.
        train_labels: `(train,)` integer labels, -1 for unlabeled; `None` will do for the protocols of
            `WITHOUT_LABELS`: rankme, alpha_req, uniformity.
        test_features: `(test, dim)` features, also used for RankMe.
        test_labels: `(test,)` integer labels, -1 for unlabeled; or `None`.
        shots: labeled images a class, see `few_shot`.
        draws: random draws, see `few_shot`.
        k: neighbors, see `knn`.
        temperature: temperature of the votes, see `knn`.
        num_classes: number of classes, by default the largest training label + 1.
        l2: penalty of `linear_probe`.
        seed: keys all draws and the starts of k-means.
        protocols: any of `PROTOCOLS`: "few_shot", "episodes" and "transductive" (of the test features,
            centered by the training features), "knn", "linear", "linear_sgd", "linear_1pct", "linear_10pct",
            "naive_bayes", "clustering" (of the test features), "retrieval", "rankme", "alpha_req",
            "uniformity", "tolerance" (of the labeled test features).
        ood_features: `(number, dim)` of another data set, see `ood_detection`.
        verbose: 1 for a progress bar over the protocols.

    Returns:
        By default `{"1-label": (mean, std), "5-label": (mean, std), "kNN k20 t0.1": accuracy,
        "linear": accuracy, "RankMe": rank}`; accuracies, NMI, ARI, mAP, AUROC and FPR95 in [0, 1]. Of
        episodes, such as "5-way 1-shot", it is the mean and the half width of its 95 % confidence interval.

    Raises:
        ValueError: for an unknown protocol, or as the protocols.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import evaluate_features
        >>> features, labels = np.repeat(np.eye(2), 20, axis=0), np.repeat([0, 1], 20)
        >>> row = evaluate_features(features, labels, features, labels)
        >>> row["1-label"], row["kNN k20 t0.1"], row["linear"], round(row["RankMe"], 3)
        ((1.0, 0.0), 1.0, 1.0, 2.0)
    """
    check_names("protocols", protocols, PROTOCOLS, "protocol")
    needy = [name for name in protocols if name not in WITHOUT_LABELS]
    for name, labels in (("train_labels", train_labels), ("test_labels", test_labels)):
        if needy and labels is None:
            raise ValueError(f"{needy[0]} needs {name}; protocols without: {', '.join(WITHOUT_LABELS)}.")
    check_count("seed", seed, least=0)
    check_number("l2", l2, above=0)
    check_count("k", k)
    check_number("temperature", temperature, above=0)
    train = check_features(train_features, train_labels, "train_features")
    test = check_features(test_features, test_labels, "test_features")
    for part, name in ((train, "train_labels"), (test, "test_labels")) if needy else ():
        drop_unlabeled(*part, name)
    train_features, test_features = train[0], test[0]
    results = {
        "few_shot": lambda: {
            f"{number}-label": result
            for number, result in few_shot(*train, *test, shots, draws, seed).items()
        },
        "episodes": lambda: _episodes(train_features, *test, shots, seed),
        "transductive": lambda: {
            **_episodes(train_features, *test, shots, seed, laplacian_shot, ", Laplacian"),
            **_episodes(train_features, *test, shots, seed, constrained_kmeans, ", k-means"),
        },
        "knn": lambda: {
            f"kNN k{k} t{temperature:g}": knn_accuracy(*train, *test, k, temperature, num_classes)
        },
        "linear": lambda: {"linear": linear_probe(*train, *test, l2)},
        "linear_sgd": lambda: {"linear, SGD": sgd_probe(*train, *test, seed=seed).accuracy},
        "linear_1pct": lambda: {"linear, 1 %": few_label_probe(*train, *test, 0.01, l2=l2, seed=seed)},
        "linear_10pct": lambda: {"linear, 10 %": few_label_probe(*train, *test, 0.1, l2=l2, seed=seed)},
        "naive_bayes": lambda: {"naive Bayes": naive_bayes_probe(*train, *test)},
        "clustering": lambda: dict(
            zip(("NMI", "ARI", "clusters"), cluster_scores(*test, num_classes, seed=seed), strict=True)
        ),
        "retrieval": lambda: {"mAP": retrieval_map(*train, *test)},
        "rankme": lambda: {"RankMe": rankme(test_features)},
        "alpha_req": lambda: {"alpha-ReQ": alpha_req(test_features).alpha},
        "uniformity": lambda: {"uniformity": uniformity(test_features)},
        "tolerance": lambda: {"tolerance": tolerance(*test)},
    }
    row: dict[str, Any] = {}
    bar = keras.utils.Progbar(len(protocols), verbose=verbose, unit_name="protocol")
    for done, protocol in enumerate(protocols):
        bar.update(done)
        row |= results[protocol]()
    bar.update(len(protocols), finalize=True)
    if ood_features is not None:
        row |= ood_detection(train_features, test_features, ood_features, train[1], l2=l2)
    return row


def _episodes(
    bank_features: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    shots: Sequence[int],
    seed: int,
    classify: Callable = nearest_prototype,
    name: str = "",
) -> dict[str, tuple[float, float]]:
    """Accuracy over episodes of 5 classes with 15 queries each, or fewer if the data has fewer."""
    sizes = np.sort(np.unique(labels[labels >= 0], return_counts=True)[1])[::-1]
    if len(sizes) < 2:
        raise ValueError(f"Episodes need test_labels of two classes or more; got {len(sizes)}.")
    ways, results = min(5, len(sizes)), {}
    for number in shots:
        queries = min(15, int(sizes[ways - 1]) - number)
        if queries < 1:
            raise ValueError(
                f"shots={number} leave no query: the {ways} largest classes of test_labels have "
                f"{sizes[ways - 1]} images at least. Pass fewer shots."
            )
        settings = f"{ways}-way {number}-shot" + (f" q{queries}" if queries != 15 else "")
        results[settings + name] = episode_accuracy(
            features,
            labels,
            ways,
            number,
            queries,
            seed=seed,
            bank_features=bank_features,
            classify=classify,
        )
    return results


def report(
    train: ImageDataset,
    test: ImageDataset,
    encoders: Mapping[str, keras.Model],
    batch_size: int = 256,
    **settings,
) -> dict[str, dict]:
    """Prints a table of raw pixels and each encoder under all protocols, and returns its rows.

    Args:
        train: labeled images for bank and probe.
        test: labeled images that none of the encoders was chosen by.
        encoders: name to model, e.g. `{"random encoder": ..., "trained encoder": ...}`.
        batch_size: images at a time.
        **settings: further arguments of `evaluate_features`.

    Returns:
        `{"raw pixels": {protocol: result}, name: {protocol: result}, ...}`.

    Raises:
        ValueError: unlabeled data, or as the protocols.

    Example:
        >>> import kerassl.data
        >>> from kerassl.evaluation import report
        >>> train, test, _ = kerassl.data.load("digits", limit_test=100)
        >>> rows = report(train, test, {}, draws=1)  # doctest: +ELLIPSIS
                    1-label ...
        raw pixels ...
    """
    for name, data in (("train", train), ("test", test)):
        if not isinstance(data, ImageDataset):
            raise ValueError(f"`{name}` must be a kerassl.data.ImageDataset; got a {type(data).__name__}.")
        if data.labels is None:
            raise ValueError(f"A report needs labels, but `{name}` has none.")
    pixels = raw_pixels(train.images, test.images)
    check_count("batch_size", batch_size)
    if not isinstance(encoders, Mapping):
        raise ValueError(f"encoders must be {{name: model}}; got a {type(encoders).__name__}.")
    rows = {"raw pixels": evaluate_features(pixels[0], train.labels, pixels[1], test.labels, **settings)}
    for name, encoder in encoders.items():
        train_features, _ = embed(encoder, train, batch_size)
        test_features, _ = embed(encoder, test, batch_size)
        rows[name] = evaluate_features(train_features, train.labels, test_features, test.labels, **settings)
    print(table(rows))
    return rows


def table(rows: Mapping[str, Mapping[str, float | tuple[float, float]]]) -> str:
    """Returns a plain-text table, one line a row, one column a protocol.

    Args:
        rows: `{row name: {column name: number or (mean, std)}}`; a row may lack columns.

    Raises:
        ValueError: for anything else.

    Example:
        >>> from kerassl.evaluation import table
        >>> print(table({"raw pixels": {"1-label": (0.5, 0.02), "RankMe": 12.3456}}))
                    1-label      RankMe
        raw pixels  0.500±0.020  12.346
    """
    if not isinstance(rows, Mapping) or not all(isinstance(row, Mapping) for row in rows.values()):
        raise ValueError(f"rows must be {{row name: {{column name: number}}}}; got {short(rows)}.")
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [["", *columns]]
    lines += [[name, *(_cell(row.get(column)) for column in columns)] for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: float | tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return f"{value[0]:.3f}±{value[1]:.3f}"
    return f"{value:.3f}"
