"""Nearest-neighbor accuracy of the embedding after each epoch."""

import keras
import numpy as np

from kerassl import evaluation
from kerassl.data import ImageDataset
from kerassl.metrics.checks import check_count, check_number
from kerassl.metrics.features import check_labels


class KNNAccuracy(keras.callbacks.Callback):
    """Adds the weighted kNN accuracy of the clean, eval-mode embedding to the epoch's logs.

    The name in the logs spells the protocol: `knn_k20_t0.1`.

    Args:
        bank: labeled images: `(images, labels)` or any dataset of such batches, such as the training
            set that `kerassl.data.load` returns; embedded without augmentation.
        queries: labeled images to classify, likewise; never part of the bank.
        k: number of neighbors; > 0.
        temperature: divides the cosines before the vote; > 0.
        every: epochs between two evaluations; the last epoch is always evaluated.
        batch_size: images per embedding step.

    Raises:
        ValueError: for numbers out of range, or data without labels, before anything is trained.

    Source: InstDisc, arXiv 1805.01978, section 3.4.

    Example:
        >>> import numpy as np
        >>> from kerassl.callbacks import KNNAccuracy
        >>> images, labels = np.zeros((8, 8, 8, 1), "uint8"), np.arange(8) % 2
        >>> KNNAccuracy((images, labels), (images, labels), k=4).name
        'knn_k4_t0.1'
    """

    def __init__(
        self,
        bank: object,
        queries: object,
        k: int = 20,
        temperature: float = 0.1,
        every: int = 1,
        batch_size: int = 256,
    ):
        super().__init__()
        check_count("k", k)
        check_number("temperature", temperature, above=0)
        check_count("every", every)
        check_count("batch_size", batch_size)
        known = check_labels_of("bank", bank)
        check_labels_of("queries", queries)
        if known is not None:
            check_count("k", k, most=known, mend="There are no more labeled images in the bank.")
        self.bank, self.queries = bank, queries
        self.k, self.temperature, self.every, self.batch_size = k, temperature, every, batch_size

    @property
    def name(self) -> str:
        """The key in the logs."""
        return f"knn_k{self.k}_t{self.temperature:g}"

    @property
    def log_names(self) -> tuple[str, ...]:
        """The entries for the logs."""
        return (self.name,)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Embeds bank and queries and adds the accuracy to `logs`."""
        if logs is None or ((epoch + 1) % self.every and epoch + 1 != self.params["epochs"]):
            return
        model = self.model
        bank_features, bank_labels = evaluation.embed(model, self.bank, batch_size=self.batch_size)
        features, labels = evaluation.embed(model, self.queries, batch_size=self.batch_size)
        logs[self.name] = evaluation.knn_accuracy(
            bank_features, bank_labels, features, labels, k=self.k, temperature=self.temperature
        )


def check_labels_of(name: str, data: object) -> int | None:
    """Raises `ValueError` unless data has labels.

    Args:
        name: name of the data in an error.
        data: as `kerassl.embed` takes it. Of a dataset of batches the first one is looked at.

    Returns:
        The number of labeled images, `None` for a dataset of batches.
    """
    needed = f"{name} needs labels: pass (images, labels) or a dataset of such batches"
    if hasattr(data, "__next__"):
        raise ValueError(f"{name} can be read once only, and is embedded after each epoch. Pass a dataset.")
    if isinstance(data, ImageDataset):
        data = (data.images, data.labels)
    whole = hasattr(data, "shape") or isinstance(data, dict)
    whole = whole or (isinstance(data, (tuple, list)) and bool(data) and hasattr(data[0], "shape"))
    batch = data if whole else next(iter(data), None)
    if batch is None:
        raise ValueError(f"{name} is empty: it gave no batch.")
    batch = tuple(batch) if isinstance(batch, list) else batch
    inputs, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if labels is None:
        raise ValueError(f"{needed}; got none.")
    if not whole:
        return None
    first = keras.tree.flatten(inputs)[0]
    return int(np.sum(check_labels(labels, len(first), f"labels of {name}") >= 0))
