"""Checks and normalisation that the protocols share."""

import numpy as np


def check_features(
    features: np.ndarray, labels: np.ndarray | None, name: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns features as float32 and labels as int64, or raises `ValueError` naming what is wrong.

    Args:
        features: `(number, dim)` float array.
        labels: `(number,)` integer array, -1 for unlabelled, or None.
        name: what to call the features in an error.

    Raises:
        ValueError: no features, a rank that is not 2, NaN or infinity, or labels that do not fit.
    """
    features = np.asarray(features)
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(
            f"{name} must have shape (number, dim) with at least one entry, but shape {features.shape} came."
        )
    features = features.astype("float32", copy=False)
    # In parts: what says of each number whether it is finite is a quarter as large as they are.
    if not all(np.isfinite(part).all() for part in np.array_split(features, -(-features.size // 2**25))):
        raise ValueError(f"{name} hold NaN or infinite values: the encoder diverged or its input is broken.")
    if labels is None:
        return features, None
    labels = np.asarray(labels)
    if labels.shape != features.shape[:1]:
        raise ValueError(
            f"{name} of shape {features.shape} need labels of shape ({len(features)},), but "
            f"{labels.shape} came."
        )
    if labels.dtype.kind not in "ui":
        raise ValueError(f"Labels must be integers, but dtype {labels.dtype} came for {name}.")
    labels = labels.astype("int64")
    if labels.min() < -1:
        raise ValueError(f"Labels must be at least -1 (unlabelled), but {labels.min()} came for {name}.")
    return features, labels


def drop_unlabelled(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the `(number, dim)` features and `(number,)` labels without the entries of label -1.

    Raises:
        ValueError: no entry has a label.
    """
    labelled = labels >= 0
    if labelled.all():
        return features, labels
    if not labelled.any():
        raise ValueError(f"All {len(labels)} labels are -1 (unlabelled), but labelled features are needed.")
    return features[labelled], labels[labelled]


def check_same_width(
    first: np.ndarray, first_labels: np.ndarray, second: np.ndarray, second_labels: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two checked sets of features and their labels, of one encoder.

    Args:
        first: `(number, dim)`.
        first_labels: `(number,)`.
        second: `(number, dim)`.
        second_labels: `(number,)`.
        name: what to call the first in an error.

    Raises:
        ValueError: as `check_features`, or for two widths.
    """
    first, first_labels = check_features(first, first_labels, name)
    second, second_labels = check_features(second, second_labels, "features")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{name} have {first.shape[1]} dimensions but the others {second.shape[1]}. Embed both with the "
            "same encoder."
        )
    return first, first_labels, second, second_labels


def check_probe_data(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The labelled training and test features of a probe.

    Raises:
        ValueError: as `check_same_width`, or for fewer than two classes to train on.
    """
    train, labels, test, test_labels = check_same_width(
        train_features, train_labels, test_features, test_labels, "train_features"
    )
    train, labels = drop_unlabelled(train, labels)
    if len(np.unique(labels)) < 2:
        raise ValueError(f"A probe needs at least two classes, but only class {labels[0]} came.")
    return train, labels, *drop_unlabelled(test, test_labels)


def l2_normalize(features: np.ndarray) -> np.ndarray:
    """Returns `(number, dim)` features with rows of length 1; zero rows stay zero."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo("float32").tiny)
