"""Batches that hold as few images of the same cluster as can be."""

import numpy as np

from kerassl.data.image.image_dataset import ImageDataset


class GuidedBatches(ImageDataset):
    """Images in memory in an order that spreads each cluster evenly over the batches of an epoch.

    Of a cluster of m images, one comes in every m-th part of the epoch: a batch holds its share of each
    cluster, give or take one, and where clusters are of one size and there are as many as a batch has images,
    exactly one of each. Each epoch is a permutation of the images; it is a pure function of (clusters, seed,
    epoch), so that a resumed run repeats it.

    Source: G-SimCLR, arXiv 2009.12007; ariG23498/G-SimCLR takes the first image of every cluster, then the
    second, and so on, in one order for all epochs, which leaves the end of an epoch to the largest clusters.

    Args:
        images: `(num_examples, height, width, channels)` array, uint8 or float in [0, 255].
        clusters: `(num_examples,)` integers from 0: the cluster of each image.
        labels: as in `ImageDataset`.
        batch_size: images a batch.
        seed: non-negative integer that keys the order.
        **kwargs: `drop_remainder`, `epoch`, `num_classes`, `workers` and so on of `ImageDataset`.

    Attributes:
        clusters: the clusters of the images, in the order of `images`.

    Raises:
        ValueError: as `ImageDataset`, or for clusters that are not one integer >= 0 for each image.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import GuidedBatches
        >>> clusters = np.array([0, 0, 0, 1, 1, 1])
        >>> data = GuidedBatches(np.zeros((6, 8, 8, 1), "uint8"), clusters, clusters, batch_size=2)
        >>> [sorted(data[i][1].tolist()) for i in range(3)]
        [[0, 1], [0, 1], [0, 1]]
    """

    def __init__(
        self,
        images: np.ndarray,
        clusters: np.ndarray,
        labels: np.ndarray | None = None,
        batch_size: int = 256,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(images, labels, batch_size, shuffle=True, seed=seed, **kwargs)
        clusters = np.asarray(clusters)
        if clusters.shape != (self.num_examples,) or clusters.dtype.kind not in "iu" or clusters.min() < 0:
            raise ValueError(
                f"clusters must be {self.num_examples} integers from 0, one for each image; got an array of "
                f"shape {clusters.shape} and type {clusters.dtype}."
            )
        self.clusters = clusters

    def draw_order(self, rng: np.random.Generator) -> np.ndarray:
        """Returns the `(num_examples,)` indices of an epoch whose generator is `rng`."""
        shuffled = rng.permutation(self.num_examples)
        clusters = self.clusters[shuffled]
        sizes = np.bincount(clusters)
        by_cluster = np.argsort(clusters, kind="stable")
        rank = np.empty(self.num_examples, int)
        rank[by_cluster] = np.arange(self.num_examples) - (np.cumsum(sizes) - sizes)[clusters[by_cluster]]
        # Image r of a cluster of m comes somewhere in part r of m of the epoch, each cluster at its own time.
        time = (rank + rng.uniform(size=len(sizes))[clusters]) / sizes[clusters]
        return shuffled[np.argsort(time, kind="stable")]
