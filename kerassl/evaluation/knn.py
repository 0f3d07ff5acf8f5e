"""Weighted k-nearest-neighbor classification of frozen features."""

from collections.abc import Iterator

import numpy as np

from kerassl.metrics.checks import check_count, check_number
from kerassl.metrics.features import check_features, check_labeled, check_one_width, l2_normalize

# Numbers held at a time, of the bank and of similarities: 32 Mi in float32 are 128 MiB.
_CHUNK_ELEMENTS = 2**25
# Of numbers that a row is sorted by, a sixteenth as many, for there are several arrays of them.
_SORTED_SHARE = 16
# Columns of which `largest` takes one maximum.
_BLOCK = 32
# Of votes that are returned, in GiB.
_LARGEST_SCORES = 16


def chunks(queries: int, bank: int, chunk_size: int | None = None) -> list[slice]:
    """Slices of the queries whose similarities to a bank are held at a time: below 128 MiB by default."""
    size = chunk_size or max(1, _CHUNK_ELEMENTS // bank)
    return [slice(start, start + size) for start in range(0, queries, size)]


def nearest(
    bank: np.ndarray, queries: np.ndarray, k: int, chunk_size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cosine similarities of the k most similar bank features, in any order, and their rows.

    Bank and similarities are taken in pieces of 128 MiB, so that besides float32 features less than 512 MiB
    and 72 bytes for each neighbor of a query are needed, however large the bank is.

    Args:
        bank: `(bank, dim)`.
        queries: `(number, dim)`.
        k: at most `bank`.
        chunk_size: queries at a time, by default as many as keep the similarities below 128 MiB.

    Returns:
        Two `(number, k)` arrays, float32 and integers.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.knn import nearest
        >>> cosines, rows = nearest(np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([[0.0, 1.0]]), k=1)
        >>> cosines.tolist(), rows.tolist()
        ([[1.0]], [[1]])
    """
    width = max(k, _CHUNK_ELEMENTS // bank.shape[1])
    cosines, rows = np.empty((len(queries), 0), "float32"), np.empty((len(queries), 0), "int64")
    for start in range(0, len(bank), width):
        found, columns = _nearest_of_piece(bank[start : start + width], queries, k, chunk_size)
        cosines = np.concatenate([cosines, found], axis=1)
        rows = np.concatenate([rows, start + columns], axis=1)
        if cosines.shape[1] > k:
            cosines, best = largest(cosines, k)
            rows = np.take_along_axis(rows, best, axis=1)
    return cosines, rows


def _nearest_of_piece(
    bank: np.ndarray, queries: np.ndarray, k: int, chunk_size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    k = min(k, len(bank))
    cosines, rows = np.empty((len(queries), k), "float32"), np.empty((len(queries), k), "int64")
    unit = np.empty(bank.shape, "float32")
    for part in chunks(len(bank), _SORTED_SHARE * bank.shape[1]):
        unit[part] = l2_normalize(bank[part])
    similarities = np.empty((0, len(bank)), "float32")
    for part in chunks(len(queries), len(bank), chunk_size):
        left = l2_normalize(queries[part])
        if len(left) > len(similarities):
            similarities = np.empty((len(left), len(bank)), "float32")
        # Fresh memory for each product would take a fifth of its time.
        cosines[part], rows[part] = largest(np.matmul(left, unit.T, out=similarities[: len(left)]), k)
    return cosines, rows


def largest(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the k largest entries of each row, in any order, and their columns.

    Columns are cut into blocks, whose maxima are cheap to take: the k blocks with the largest hold the k
    largest entries, and only they are looked at more closely.

    Args:
        rows: `(number, columns)`.
        k: at most the number of columns.

    Returns:
        Two `(number, k)` arrays.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.knn import largest
        >>> values, columns = largest(np.array([[3.0, 1.0, 2.0]]), 1)
        >>> values.tolist(), columns.tolist()
        ([[3.0]], [[0]])
    """
    number, width = rows.shape
    pieces = -(-number * min(width, k * _BLOCK) * _SORTED_SHARE // _CHUNK_ELEMENTS)
    if 1 < pieces and 1 < number:
        found = [largest(piece, k) for piece in np.array_split(rows, min(pieces, number))]
        values, indices = zip(*found, strict=True)
        return np.concatenate(values), np.concatenate(indices)
    blocks = width // _BLOCK
    if blocks < 4 * k:
        columns = np.argpartition(rows, -k, axis=1)[:, -k:]
        return np.take_along_axis(rows, columns, axis=1), columns
    # Block b holds the columns b, b + blocks, b + 2 blocks, ..., so that its maximum is one of whole rows.
    maxima = rows[:, : _BLOCK * blocks].reshape(number, _BLOCK, blocks).max(axis=1)
    best = np.argpartition(maxima, -k, axis=1)[:, -k:]
    columns = (best[:, :, None] + blocks * np.arange(_BLOCK)).reshape(number, -1)
    rest = np.broadcast_to(np.arange(_BLOCK * blocks, width), (number, width - _BLOCK * blocks))
    columns = np.concatenate([columns, rest], axis=1)
    values = np.take_along_axis(rows, columns, axis=1)
    best = np.argpartition(values, -k, axis=1)[:, -k:]
    return np.take_along_axis(values, best, axis=1), np.take_along_axis(columns, best, axis=1)


def knn_scores(
    bank_features: np.ndarray,
    bank_labels: np.ndarray,
    features: np.ndarray,
    k: int = 20,
    temperature: float = 0.1,
    num_classes: int | None = None,
    chunk_size: int | None = None,
) -> np.ndarray:
    r"""Returns the vote of the k most similar bank features for each class, summing to 1 a row.

    Neighbor i of cosine similarity s_i votes for its class with weight exp(s_i / temperature).
    Similarities are float32. Beside the features and the votes less than 512 MiB are needed, 72 bytes for
    each neighbor of a query and 8 for each label, for a bank of 1.2 million x 2048 as for a small one.
    (Features that are not float32, or a bank with images of label -1, are copied first.)

    Source: InstDisc (arXiv:1805.01978, section 3.4), zhirongw/lemniscate.pytorch `test.py`, with k=200 and
    temperature 0.07; DINO (facebookresearch/dino `eval_knn.py`) finds k=20 mostly best.

    Args:
        bank_features: `(bank, dim)` labeled features, which must not hold the queries.
        bank_labels: `(bank,)` integer labels; entries of -1 (unlabeled) are left out.
        features: `(number, dim)` query features.
        k: neighbors that vote.
        temperature: positive; the larger, the more even the votes.
        num_classes: number of classes, by default the largest bank label + 1.
        chunk_size: queries at a time, by default as many as keep the similarities below 128 MiB.

    Returns:
        `(number, num_classes)` float32 votes.

    Raises:
        ValueError: k larger than the labeled bank, temperature <= 0, or features or labels of a wrong
            shape, type or range.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import knn_scores
        >>> bank, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
        >>> knn_scores(bank, labels, np.array([[2.0, 2.0]]), k=2).tolist()
        [[0.5, 0.5]]
    """
    bank, labels, features, num_classes = _checked(
        bank_features, bank_labels, features, k, temperature, num_classes, chunk_size
    )
    gibibytes = 4 * len(features) * num_classes / 2**30
    if gibibytes > _LARGEST_SCORES:
        raise ValueError(
            f"The votes of {len(features)} features for num_classes={num_classes} would take {gibibytes:.0f} "
            "GiB. Number the classes from 0 on, np.unique(bank_labels, return_inverse=True)[1], or pass "
            "fewer features at a time."
        )
    scores = np.empty((len(features), num_classes), "float32")
    for part, votes in _votes(bank, labels, features, k, temperature, num_classes, chunk_size):
        scores[part] = votes
    return scores


def _checked(
    bank_features: np.ndarray,
    bank_labels: np.ndarray,
    features: np.ndarray,
    k: int,
    temperature: float,
    num_classes: int | None,
    chunk_size: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The labeled bank, the queries and the number of classes, or `ValueError` that names the fault."""
    bank, labels = check_labeled(bank_features, bank_labels, "bank_features")
    features, _ = check_features(features, None, "features")
    check_one_width(bank, "bank_features", features, "features")
    check_count("k", k, most=len(labels), mend="There are no more labeled bank features.")
    check_number("temperature", temperature, above=0, mend="Usual values: 0.07, 0.1.")
    if chunk_size is not None:
        check_count("chunk_size", chunk_size)
    last_class = int(labels.max())
    num_classes = last_class + 1 if num_classes is None else check_count("num_classes", num_classes)
    if last_class >= num_classes:
        raise ValueError(
            f"bank_labels hold class {last_class}, which num_classes={num_classes} does not have. "
            f"Pass num_classes={last_class + 1} or more."
        )
    return bank, labels, features, num_classes


def _votes(
    bank: np.ndarray,
    labels: np.ndarray,
    features: np.ndarray,
    k: int,
    temperature: float,
    num_classes: int,
    chunk_size: int | None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """The votes `(queries, num_classes)` of some queries at a time, and which they are."""
    similarity, rows = nearest(bank, features, k, chunk_size)
    for part in chunks(len(features), _SORTED_SHARE * max(num_classes, k)):
        # The common factor exp(-max / temperature) leaves the shares as they are and cannot overflow.
        weights = np.exp((similarity[part] - similarity[part].max(1, keepdims=True)) / temperature)
        cells = np.arange(len(weights))[:, None] * num_classes + labels[rows[part]]
        votes = np.bincount(cells.ravel(), weights.ravel(), minlength=len(weights) * num_classes)
        votes = votes.reshape(-1, num_classes)
        yield part, (votes / votes.sum(1, keepdims=True)).astype("float32")


def knn(
    bank_features: np.ndarray,
    bank_labels: np.ndarray,
    features: np.ndarray,
    k: int = 20,
    temperature: float = 0.1,
    num_classes: int | None = None,
    chunk_size: int | None = None,
) -> np.ndarray:
    """Returns the class with the largest weighted vote of the k nearest neighbors (see `knn_scores`).

    Args:
        bank_features: `(bank, dim)` labeled features, which must not hold the queries.
        bank_labels: `(bank,)` integer labels; entries of -1 (unlabeled) are left out.
        features: `(number, dim)` query features.
        k: neighbors that vote.
        temperature: positive; the larger, the more even the votes.
        num_classes: number of classes, by default the largest bank label + 1.
        chunk_size: queries at a time, by default as many as keep the similarities below 128 MiB.

    Returns:
        `(number,)` int32 predicted classes.

    Raises:
        ValueError: as `knn_scores`.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import knn
        >>> bank, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3, 7])
        >>> knn(bank, labels, np.array([[5.0, 1.0], [1.0, 5.0]]), k=1).tolist()
        [3, 7]
    """
    bank, labels, features, _ = _checked(
        bank_features, bank_labels, features, k, temperature, num_classes, chunk_size
    )
    # Of the classes that the bank has, so that large numbers of classes need no memory.
    classes, labels = np.unique(labels, return_inverse=True)
    predicted = np.empty(len(features), "int32")
    for part, votes in _votes(bank, labels, features, k, temperature, len(classes), chunk_size):
        predicted[part] = classes[votes.argmax(1)]
    return predicted


def knn_accuracy(
    bank_features: np.ndarray,
    bank_labels: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    k: int = 20,
    temperature: float = 0.1,
    num_classes: int | None = None,
    chunk_size: int | None = None,
) -> float:
    """Returns the share of labeled queries whose class `knn` predicts.

    Args:
        bank_features: `(bank, dim)` labeled features, which must not hold the queries.
        bank_labels: `(bank,)` integer labels; entries of -1 (unlabeled) are left out.
        features: `(number, dim)` query features.
        labels: `(number,)` integer labels of the queries; entries of -1 are left out.
        k: neighbors that vote.
        temperature: positive; the larger, the more even the votes.
        num_classes: number of classes, by default the largest bank label + 1.
        chunk_size: queries at a time, by default as many as keep the similarities below 128 MiB.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: as `knn_scores`, or no labeled query.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import knn_accuracy
        >>> bank, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
        >>> knn_accuracy(bank, labels, np.array([[5.0, 1.0], [1.0, 5.0]]), np.array([0, 0]), k=1)
        0.5
    """
    features, labels = check_labeled(features, labels, "features")
    predicted = knn(bank_features, bank_labels, features, k, temperature, num_classes, chunk_size)
    return float(np.mean(predicted == labels))
