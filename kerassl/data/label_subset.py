"""A few labeled examples of each class, for learning from a share of the labels."""

import numpy as np


def label_subset(labels: np.ndarray, fraction: float, seed: int | tuple[int, ...] = 0) -> np.ndarray:
    """Positions of the same share of each class, at random, at least one of each.

    Source: SimCLR, arXiv 2002.05709, section 5, whose 1 % and 10 % of ImageNet's labels are so balanced.

    Args:
        labels: `(n,)` integers; entries of -1 (unlabeled) are never chosen.
        fraction: share of each class, in (0, 1].
        seed: non-negative integer, or several, that key the choice.

    Returns:
        Increasing positions.

    Raises:
        ValueError: for a fraction outside (0, 1] or no labels.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import label_subset
        >>> labels = np.repeat([0, 1, -1], [40, 20, 9])
        >>> labels[label_subset(labels, 0.1)].tolist()
        [0, 0, 0, 0, 1, 1]
    """
    labels = np.asarray(labels)
    if not 0 < fraction <= 1:
        raise ValueError(f"The share of the labels must be in (0, 1]; got {fraction}; usual: 0.01, 0.1.")
    classes = np.unique(labels[labels >= 0])
    if not len(classes):
        raise ValueError("There are no labels to choose from.")
    rng = np.random.default_rng(seed)
    chosen = []
    for label in classes:
        members = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(chosen))
