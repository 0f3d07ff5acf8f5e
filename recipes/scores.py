"""The table of a run: raw pixels, a random encoder, the trained one, by protocols on frozen features."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

import kerassl
from kerassl.evaluation.report import WITHOUT_LABELS

DEFAULT_PROTOCOLS = ("few_shot", "knn", "linear", "rankme")


def sample(data, limit: int, multiple: int = 1) -> kerassl.data.ImageDataset | None:  # noqa: ANN001
    """A fixed part of a data set for evaluation, in memory.

    Args:
        data: an `ImageDataset`, a `tf.data.Dataset` of `(images, labels)` batches, or `None`.
        limit: images at most.
        multiple: the number of images is a multiple of this, for devices that share a batch.

    Returns:
        An unshuffled `ImageDataset`, or `None` where there is no data.
    """
    if data is None:
        return None
    if isinstance(data, kerassl.data.ImageDataset):
        images, labels = data.images, data.labels
        if len(images) > limit:
            chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:limit])
            images, labels = images[chosen], None if labels is None else labels[chosen]
    else:
        batches = [[np.asarray(part) for part in batch] for batch in data.take(-(-limit // batch_size(data)))]
        parts = [np.concatenate(part)[:limit] for part in zip(*batches, strict=True)]
        images, labels = parts if len(parts) == 2 else (parts[0], None)
    count = len(images) - len(images) % multiple
    return kerassl.data.ImageDataset(images[:count], None if labels is None else labels[:count])


def batch_size(data) -> int:  # noqa: ANN001
    """Images in the first batch of a `tf.data.Dataset`."""
    return len(next(iter(data))[0])


def labeled(*parts: kerassl.data.ImageDataset | None) -> bool:
    """Whether all parts are there and hold two labeled classes or more."""
    return all(
        p is not None and p.labels is not None and len(np.unique(p.labels[p.labels >= 0])) > 1 for p in parts
    )


def neighbors(bank: kerassl.data.ImageDataset) -> int:
    """The k of the kNN votes: 20, or all labeled images where there are fewer."""
    return min(20, int((bank.labels >= 0).sum()))


def score(
    features: np.ndarray,
    bank,  # noqa: ANN001
    test_features: np.ndarray | None,
    test,  # noqa: ANN001
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    ood_features: np.ndarray | None = None,
    verbose: int = 0,
) -> dict:
    """The row of an encoder.

    Args:
        features: `(bank, dim)` of the bank's images.
        bank: the part of the training data that serves as bank, with or without labels.
        test_features: `(test, dim)` of the held-out images, or `None`.
        test: the held-out part, or `None`.
        protocols: as of `kerassl.evaluation.evaluate_features`.
        ood_features: `(number, dim)` of images of another data set, which need a held-out part.
        verbose: 1 for a progress bar.

    Returns:
        {protocol: result} as of `kerassl.evaluation.evaluate_features`; without labels of the protocols that
        need none, RankMe if there is no such.
    """
    if not labeled(bank, test):
        return kerassl.evaluation.evaluate_features(
            features,
            None,
            features if test_features is None else test_features,
            None,
            protocols=[name for name in protocols if name in WITHOUT_LABELS] or ["rankme"],
            ood_features=ood_features,
            verbose=verbose,
        )
    rarest = np.unique(bank.labels[bank.labels >= 0], return_counts=True)[1].min()
    shots = tuple(s for s in (1, 5) if s <= rarest)
    return kerassl.evaluation.evaluate_features(
        features,
        bank.labels,
        test_features,
        test.labels,
        shots=shots,
        k=neighbors(bank),
        protocols=protocols,
        ood_features=ood_features,
        verbose=verbose,
    )


def score_pixels(
    bank: kerassl.data.ImageDataset,
    test: kerassl.data.ImageDataset | None,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    ood: kerassl.data.ImageDataset | None = None,
) -> dict:
    """The row of no encoder at all; without RankMe, which compares encoders of one width only."""
    features, test_features = kerassl.evaluation.raw_pixels(bank.images, (test or bank).images)
    outliers = None if ood is None else kerassl.evaluation.raw_pixels(bank.images, ood.images)[1]
    row = score(features, bank, test_features, test, protocols, outliers)
    return {name: value for name, value in row.items() if name != "RankMe"}


def score_model(model, bank, test, size: int) -> dict:  # noqa: ANN001
    """The row of a model from raw images to features, `size` images at a time."""
    features, test_features = embed_both(model, bank, test, size)
    return score(features, bank, test_features, test)


def score_patches(model, images: np.ndarray, masks: np.ndarray) -> dict:  # noqa: ANN001
    """What a ViT's patches know of objects; without comparing objects where no image has two of them."""
    patches = kerassl.evaluation.patch_features(model, images)
    found = kerassl.evaluation.prompt_segmentation(patches, masks)
    row = {"prompt IoU": found.best_iou, "prompt threshold": found.best_threshold}
    if max(len(np.unique(mask[mask > 0])) for mask in masks) > 1:
        alike = kerassl.evaluation.object_similarity(patches, masks)
        row |= {"intra-object": alike.intra, "inter-object": alike.inter, "object overlap": alike.overlap}
    return row


def sparsity_curve(
    model,  # noqa: ANN001
    bank: kerassl.data.ImageDataset,
    test: kerassl.data.ImageDataset,
    size: int,
) -> kerassl.evaluation.SparsityCurve:
    """Accuracy of kNN by an encoder with ever more weights zero, `size` images at a time."""

    def accuracy(pruned) -> float:  # noqa: ANN001
        features, test_features = embed_both(pruned, bank, test, size)
        return kerassl.evaluation.knn_accuracy(
            features, bank.labels, test_features, test.labels, neighbors(bank)
        )

    return kerassl.evaluation.essential_sparsity(model, accuracy)


def embed_both(model, bank, test, size: int, verbose: int = 0) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ANN001
    """Features of the bank and of the held-out images, if there are some, `size` images at a time."""
    features, _ = kerassl.embed(model, bank, size, verbose)
    return features, None if test is None else kerassl.embed(model, test, size, verbose)[0]


def accuracy(model, test: kerassl.data.ImageDataset, size: int) -> float:  # noqa: ANN001
    """The share of the labeled images that a model's `classify` gets right, `size` images at a time."""
    known = test.labels >= 0
    predicted = model.classify(test.images[known], batch_size=size).argmax(axis=1)
    return float(np.mean(predicted == test.labels[known]))


def comparable(rows: Mapping[str, dict], widths: Mapping[str, int]) -> dict:
    """The rows with RankMe in one column only where the encoders have one width, else in one for each width.

    Args:
        rows: the table.
        widths: {row: dimensions of its features}.

    Example:
        >>> from recipes.scores import comparable
        >>> comparable({"a": {"RankMe": 9.0}, "b": {"RankMe": 5.0}}, {"a": 64, "b": 16})
        {'a': {'RankMe, 64 dimensions': 9.0}, 'b': {'RankMe, 16 dimensions': 5.0}}
    """
    if len(set(widths.values())) < 2:
        return dict(rows)
    return {
        name: {
            f"{key}, {widths[name]} dimensions" if key == "RankMe" and name in widths else key: value
            for key, value in row.items()
        }
        for name, row in rows.items()
    }


def load_labeled(
    name: str,
    info: kerassl.data.DatasetInfo,
    batch_size: int,
    data_dir: str | None = None,
    flag: str = "eval_dataset",
) -> tuple:
    """Labeled training and held-out images of another data set, in the size of those trained on.

    Args:
        name: digits, folder:DIR, npz:FILE or tfds:NAME.
        info: of the data set that is trained on.
        batch_size: images a batch.
        data_dir: where TFDS keeps its data.
        flag: that names it, for messages.

    Returns:
        Both parts, as `kerassl.data.load` gives them.

    Raises:
        ValueError: for images of other channels, or without labels or held-out images.
    """
    size = info.image_shape[:2]
    train, test, other = kerassl.data.load(
        name, batch_size=batch_size, image_size=size, data_dir=data_dir if name.startswith("tfds:") else None
    )
    if other.image_shape[-1] != info.image_shape[-1]:
        raise ValueError(
            f"--{flag}={name} has images of {other.image_shape[-1]} channels, {info.name} of "
            f"{info.image_shape[-1]}: both must have as many."
        )
    if test is None or other.num_classes is None:
        raise ValueError(f"--{flag}={name} must have labels and held-out images; it lacks one of them.")
    return train, test


def show(rows: Mapping[str, dict], bank, test) -> None:  # noqa: ANN001
    """Prints the table under a line that says what was measured."""
    held_out = f"{test.num_examples} held-out images, " if test is not None else ""
    print(f"\nFrozen features, {held_out}bank of {bank.num_examples} images")
    print(kerassl.evaluation.table(rows))


def to_json(rows: Mapping[str, dict]) -> dict:
    """The table's rows as JSON takes them: mean and deviation become a list, NaN becomes null."""
    return {name: {key: _number(value) for key, value in row.items()} for name, row in rows.items()}


def from_json(rows: Mapping[str, dict]) -> dict:
    """The rows that `to_json` made, as they were."""
    return {
        name: {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
        for name, row in rows.items()
    }


def _number(value: float | tuple):
    if isinstance(value, tuple):
        return [_number(part) for part in value]
    return float(value) if math.isfinite(value) else None
