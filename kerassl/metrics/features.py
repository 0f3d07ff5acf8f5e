"""Checks and normalization of features and labels that the protocols share."""

from typing import Any

import keras
import numpy as np

from kerassl.metrics.checks import short

# Class numbers are int32 in the protocols' results.
_LARGEST_LABEL = 2**31 - 1


def check_array(name: str, value: Any, axes: tuple[str, ...], kinds: str = "uifb") -> np.ndarray:
    """Returns an array of numbers of the given axes, or raises `ValueError` that names the fault.

    Args:
        name: name of the argument.
        value: an array, a tensor, or nested lists of one shape.
        axes: names of the axes, such as `("number", "dim")`; each must have a length of 1 or more.
        kinds: NumPy's letters of the types that will do.

    Raises:
        ValueError: for `None`, text, ragged lists, another rank or type, or an empty axis.
    """
    wanted = f"{name} must be an array of shape ({', '.join(axes)}{',' * (len(axes) == 1)})"
    if value is None or isinstance(value, (str, bytes, dict)):
        raise ValueError(f"{wanted}; got {short(value)}.")
    try:
        array = keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{wanted}; got a {type(value).__name__} of parts of several shapes or types. Stack parts of "
            "one shape with np.stack."
        ) from error
    if array.dtype.name == "bfloat16":
        array = array.astype("float32")
    if array.ndim != len(axes) or 0 in array.shape:
        raise ValueError(f"{wanted} with at least one entry; got shape {array.shape}.")
    if array.dtype.kind not in kinds:
        needed = "integers" if kinds == "ui" else "numbers"
        raise ValueError(f"{name} must hold {needed}; got dtype {array.dtype}.")
    return array


def as_tensor(name: str, value: Any, axes: tuple[str, ...]) -> Any:
    """A tensor of the given axes, from a tensor in a compiled step or nested lists.

    Args:
        name: name of the argument.
        value: a tensor, a variable, an array or lists.
        axes: names of the axes.

    Raises:
        ValueError: for `None`, text, or another rank.
    """
    if not hasattr(value, "shape") or isinstance(value, np.ndarray):
        value = check_array(name, value, axes)
    if len(value.shape) != len(axes):
        raise ValueError(f"{name} must have shape ({', '.join(axes)}); got shape {tuple(value.shape)}.")
    return keras.ops.convert_to_tensor(value)


def check_features(
    features: np.ndarray, labels: np.ndarray | None, name: str, labels_name: str | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns features as float32 and labels as int64, or raises `ValueError` that names the fault.

    Args:
        features: `(number, dim)` float array.
        labels: `(number,)` integer array, -1 for unlabeled, or None.
        name: name of the features in an error.
        labels_name: name of the labels; by default `name` with "labels" for "features".

    Raises:
        ValueError: no features, a rank that is not 2, NaN or infinity, or labels that do not fit.
    """
    features = check_array(name, features, ("number", "dim")).astype("float32", copy=False)
    # In parts: the mask of finite numbers is a quarter as large as the numbers.
    if not all(np.isfinite(part).all() for part in np.array_split(features, -(-features.size // 2**25))):
        raise ValueError(f"{name} hold NaN or infinite values: the encoder diverged or its input is broken.")
    if labels is None:
        return features, None
    return features, check_labels(labels, len(features), labels_name or name.replace("features", "labels"))


def check_labels(labels: np.ndarray, number: int, name: str) -> np.ndarray:
    """Returns `(number,)` labels as int64, or raises `ValueError` that names the fault.

    Args:
        labels: integers from -1 (unlabeled) on.
        number: the required number.
        name: their name in an error.

    Raises:
        ValueError: for `None`, another shape or type, or integers out of range.
    """
    if labels is None:
        raise ValueError(f"{name} are needed, one integer for each feature, -1 for unlabeled; got None.")
    if np.ndim(labels) == 2 and np.shape(labels)[0] == number:
        hint = "Use labels[:, 0] for a column or labels.argmax(-1) for one-hot labels."
        raise ValueError(f"{name} must have shape ({number},); got shape {np.shape(labels)}. {hint}")
    labels = check_array(name, labels, ("number",), kinds="uifbUSO")
    if len(labels) != number:
        raise ValueError(f"{name} must have shape ({number},), one for each feature; got {labels.shape}.")
    if labels.dtype.kind not in "ui":
        numbers = labels.dtype.kind in "fb"
        convert = "labels.astype('int32')" if numbers else "np.unique(labels, return_inverse=True)[1]"
        raise ValueError(f"{name} must be integers; got dtype {labels.dtype}. Convert them with {convert}.")
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high > _LARGEST_LABEL:
        raise ValueError(
            f"{name} must lie between -1 (unlabeled) and 2**31 - 1; got {low if low < -1 else high}. Number "
            "the classes from 0 on: np.unique(labels, return_inverse=True)[1]."
        )
    return labels.astype("int64")


def check_labeled(features: np.ndarray, labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """As `check_features`, without the entries of label -1; labels are required.

    Raises:
        ValueError: as `check_features`, or where no entry has a label.
    """
    features, _ = check_features(features, None, name)
    labels_name = name.replace("features", "labels")
    return drop_unlabeled(features, check_labels(labels, len(features), labels_name), labels_name)


def drop_unlabeled(
    features: np.ndarray, labels: np.ndarray, name: str = "labels"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the `(number, dim)` features and `(number,)` labels without the entries of label -1.

    Raises:
        ValueError: no entry has a label.
    """
    labeled = labels >= 0
    if labeled.all():
        return features, labels
    if not labeled.any():
        raise ValueError(f"All {len(labels)} {name} are -1 (unlabeled), but labeled features are needed.")
    return features[labeled], labels[labeled]


def check_one_width(first: np.ndarray, first_name: str, second: np.ndarray, second_name: str) -> None:
    """Raises `ValueError` unless two sets of features have as many dimensions."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{first_name} have {first.shape[1]} dimensions but {second_name} {second.shape[1]}. Embed both "
            "with the same encoder."
        )


def check_same_width(
    first: np.ndarray,
    first_labels: np.ndarray,
    second: np.ndarray,
    second_labels: np.ndarray,
    names: tuple[str, str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two checked sets of features and their labels, of one encoder.

    Args:
        first: `(number, dim)`.
        first_labels: `(number,)`.
        second: `(number, dim)`.
        second_labels: `(number,)`.
        names: names of both sets of features in an error.

    Raises:
        ValueError: as `check_features`, for missing labels, or for two widths.
    """

    def check(features: np.ndarray, labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        features, _ = check_features(features, None, name)
        return features, check_labels(labels, len(features), name.replace("features", "labels"))

    first, first_labels = check(first, first_labels, names[0])
    second, second_labels = check(second, second_labels, names[1])
    check_one_width(first, names[0], second, names[1])
    return first, first_labels, second, second_labels


def check_probe_data(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The labeled training and test features of a probe.

    Raises:
        ValueError: as `check_same_width`, or for fewer than two classes to train on.
    """
    train, labels, test, test_labels = check_same_width(
        train_features, train_labels, test_features, test_labels, ("train_features", "test_features")
    )
    train, labels = drop_unlabeled(train, labels, "train_labels")
    check_two_classes(labels, "train_labels")
    return train, labels, *drop_unlabeled(test, test_labels, "test_labels")


def check_two_classes(labels: np.ndarray, name: str) -> None:
    """Raises `ValueError` for labels of one class alone."""
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{name} must hold at least two classes; got class {labels[0]} alone.")


def l2_normalize(features: np.ndarray) -> np.ndarray:
    """Returns `(number, dim)` features with rows of length 1; zero rows stay zero."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo("float32").tiny)
