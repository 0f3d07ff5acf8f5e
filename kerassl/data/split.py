"""The result of a source for `load`, and the split of a source without a test part."""

import dataclasses

import numpy as np

# The split is part of the data set: it must not change with the seed of a run.
_SPLIT_SEED = 0
# Decoded images of both parts up to this many bytes are held in memory.
MAX_BYTES_IN_MEMORY = 2 * 2**30


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Images and labels of both parts.

    Attributes:
        train_images: `(number, height, width, channels)` array, or `ImageFiles`.
        train_labels: `(number,)` integer array or None.
        test_images: `(number, height, width, channels)` array, `ImageFiles` or None.
        test_labels: `(number,)` integer array or None.
        class_names: names in index order, or None.
        num_classes: number of classes where the source knows it without names, or None.
        value_range: the values of 16-bit, 32-bit and float gray files that became 0 and 255, or None.
    """

    train_images: np.ndarray
    train_labels: np.ndarray | None
    test_images: np.ndarray | None
    test_labels: np.ndarray | None
    class_names: tuple[str, ...] | None = None
    num_classes: int | None = None
    value_range: tuple[float, float] | None = None


def split_indices(
    num_examples: int, labels: np.ndarray | None, test_fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns train and test indices, each class giving `test_fraction` of itself to the test part.

    The split is the same at every call. Both parts are in mixed order, so that the first N of either
    are a fair sample. Unlabeled entries (-1) among labeled ones all go to the training part.

    Args:
        num_examples: number of examples.
        labels: `(num_examples,)` integer labels or None.
        test_fraction: share of each class, in [0, 1).

    Returns:
        Train indices and test indices.

    Raises:
        ValueError: `test_fraction` outside [0, 1), or one that leaves no example for a part.
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction must be in [0, 1); got {test_fraction}.")
    rng = np.random.default_rng(_SPLIT_SEED)
    groups = np.zeros(num_examples, "int64") if labels is None else np.asarray(labels)
    members_of_test = []
    for group in np.unique(groups[groups >= 0]):
        members = np.flatnonzero(groups == group)
        members_of_test.append(rng.permutation(members)[: round(test_fraction * len(members))])
    found = np.concatenate(members_of_test) if members_of_test else np.zeros(0, "int64")
    test = rng.permutation(found) if members_of_test else found
    train = rng.permutation(np.setdiff1d(np.arange(num_examples), test))
    if test_fraction > 0 and not len(test):
        raise ValueError(
            f"test_fraction={test_fraction} of {num_examples} examples leaves none to test with. Pass a "
            "larger test_fraction, or 0 for no test part."
        )
    return train, test


def split_arrays(
    images: np.ndarray,
    labels: np.ndarray | None,
    test_fraction: float,
    class_names: tuple[str, ...] | None = None,
) -> Arrays:
    """Returns `images` and `labels` split by `split_indices`."""
    train, test = split_indices(len(images), labels, test_fraction)
    return Arrays(
        images[train],
        None if labels is None else labels[train],
        images[test] if len(test) else None,
        labels[test] if labels is not None and len(test) else None,
        class_names,
    )
