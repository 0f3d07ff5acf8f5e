"""Retrieval: are the most similar images of the same class?"""

import numpy as np

from kerassl.evaluation.knn import chunks
from kerassl.metrics.checks import check_count
from kerassl.metrics.features import check_same_width, drop_unlabeled, l2_normalize


def retrieval_map(
    bank_features: np.ndarray,
    bank_labels: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    at: int | None = None,
) -> float:
    """Returns the mean average precision of ranking a bank by cosine similarity to each query.

    The average precision of a query is the mean, over the images of its class in the bank, of the precision
    at their ranks. With `at` only the first ranks count, and the mean is over the smaller of `at` and the
    number of images of the class. Similarities are held for some queries at a time.

    Source: as `eval_image_retrieval.py` of facebookresearch/dino, without its junk images.

    Args:
        bank_features: `(bank, dim)` labeled features, which must not hold the queries.
        bank_labels: `(bank,)` integer labels; entries of -1 (unlabeled) are left out.
        features: `(number, dim)` queries.
        labels: `(number,)` integer labels; entries of -1 are left out, and so are queries whose class the
            bank does not have.
        at: the first so many ranks; all by default.

    Returns:
        Mean average precision in [0, 1].

    Raises:
        ValueError: no query whose class the bank has, `at` below 1, or features or labels that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import retrieval_map
        >>> bank, labels = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), np.array([0, 1, 0])
        >>> round(retrieval_map(bank, labels, np.array([[1.0, 0.0]]), np.array([0])), 4)
        0.8333
    """
    if at is not None:
        check_count("at", at)
    bank, bank_labels, queries, labels = check_same_width(
        bank_features, bank_labels, features, labels, ("bank_features", "features")
    )
    bank, bank_labels = drop_unlabeled(bank, bank_labels, "bank_labels")
    queries, labels = drop_unlabeled(queries, labels)
    known = np.isin(labels, bank_labels)
    if not known.any():
        raise ValueError("bank_labels hold none of the classes in labels: nothing can be found.")
    queries, labels = l2_normalize(queries[known]), labels[known]
    bank = l2_normalize(bank).T
    last = bank.shape[1] if at is None else min(at, bank.shape[1])
    precisions = []
    for rows in chunks(len(queries), bank.shape[1]):
        similarity = queries[rows] @ bank
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :last]
        relevant = bank_labels[order] == labels[rows, None]
        found = np.cumsum(relevant, axis=1) / np.arange(1, last + 1)
        total = np.minimum((bank_labels == labels[rows, None]).sum(1), last)
        precisions.append(np.sum(found * relevant, axis=1) / total)
    return float(np.mean(np.concatenate(precisions)))
