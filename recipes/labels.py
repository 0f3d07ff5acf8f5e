"""Learning from the labels of a few images."""

import numpy as np

import kerassl


def label_share(text: str) -> float:
    """The share that `--labels` names.

    Args:
        text: "all", or a percentage such as "1%".

    Raises:
        ValueError: for anything else.

    Example:
        >>> from recipes.labels import label_share
        >>> label_share("all"), label_share("10%")
        (1.0, 0.1)
    """
    if text == "all":
        return 1.0
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not text.endswith("%") or not 0 < share <= 1:
        raise ValueError(f"--labels={text} is neither 'all' nor a percentage up to 100%, such as 1% or 10%.")
    return share


def few_labels(
    everything: kerassl.data.ImageDataset,
    info: kerassl.data.DatasetInfo,
    fraction: float,
    batch_size: int,
    seed: int,
) -> tuple[kerassl.data.ImageDataset, kerassl.data.ImageDataset]:
    """The images whose labels are read, and all images, the labels of the others -1.

    Raises:
        ValueError: for data that is not in memory or has no labels, or a fraction outside of (0, 1].
    """
    if info.num_classes is None or not isinstance(everything, kerassl.data.ImageDataset):
        raise ValueError(f"{info.name} must have labels and fit in memory for learning from a few of them.")
    chosen = kerassl.data.label_subset(everything.labels, fraction, seed)
    options = {"shuffle": True, "seed": seed, "num_classes": info.num_classes}
    few = kerassl.data.ImageDataset(
        everything.images[chosen],
        everything.labels[chosen],
        batch_size,
        drop_remainder=everything.drop_remainder,
        **options,
    )
    labels = np.full(everything.num_examples, -1, "int32")
    labels[chosen] = everything.labels[chosen]
    return few, kerassl.data.ImageDataset(everything.images, labels, everything.batch_size, **options)
