"""Nearest-neighbour accuracy of the embedding after each epoch."""

import keras

from kerassl import evaluation


class KNNAccuracy(keras.callbacks.Callback):
    """Adds the weighted kNN accuracy of the clean, eval-mode embedding to the epoch's logs.

    The name in the logs spells the protocol: `knn_k20_t0.1`.

    Args:
        bank: labelled images: `(images, labels)` or any dataset of such batches, such as the training
            set that `kerassl.data.load` returns; embedded without augmentation.
        queries: labelled images to classify, likewise; never part of the bank.
        k: number of neighbours; > 0.
        temperature: divides the cosines before the vote; > 0.
        every: epochs between two evaluations; the last epoch is always evaluated.
        batch_size: images per embedding step.

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
        if k < 1 or temperature <= 0 or every < 1:
            raise ValueError(
                f"k and every must be >= 1 and temperature > 0; got {k}, {every}, {temperature}."
            )
        self.bank, self.queries = bank, queries
        self.k, self.temperature, self.every, self.batch_size = k, temperature, every, batch_size

    @property
    def name(self) -> str:
        """The key in the logs."""
        return f"knn_k{self.k}_t{self.temperature:g}"

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
