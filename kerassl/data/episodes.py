"""Episodes of few-shot learning: batches of some classes, with the same few images of each."""

import numpy as np

from kerassl.data.image.image_dataset import ImageDataset


def draw_episodes(
    labels: np.ndarray, ways: int, images_per_class: int, episodes: int, rng: np.random.Generator
) -> np.ndarray:
    """Positions `(episodes, ways, images_per_class)` of labeled examples, drawn without repetition.

    Args:
        labels: `(n,)` integers; -1 is never drawn.
        ways: classes of an episode.
        images_per_class: examples of each of them.
        episodes: number of episodes.
        rng: the random generator.

    Raises:
        ValueError: for fewer than two ways, no images, no episodes, or too few classes that are large enough.

    Example:
        >>> import numpy as np
        >>> from kerassl.data.episodes import draw_episodes
        >>> labels = np.array([0, 0, 1, 1, 2, -1])
        >>> drawn = draw_episodes(labels, 2, 2, 1, np.random.default_rng(0))
        >>> sorted(labels[drawn[0]].tolist())
        [[0, 0], [1, 1]]
    """
    if ways < 2 or min(images_per_class, episodes) < 1:
        raise ValueError(
            f"An episode needs at least two classes and an image of each; got ways={ways}, "
            f"{images_per_class} images a class and {episodes} episodes."
        )
    labels = np.asarray(labels)
    classes, sizes = np.unique(labels[labels >= 0], return_counts=True)
    enough = classes[sizes >= images_per_class]
    if len(enough) < ways:
        raise ValueError(
            f"{ways} ways need as many classes of at least {images_per_class} images (shots and queries "
            f"together), but {len(enough)} of the {len(classes)} classes have so many. Ask for fewer ways, "
            "shots or queries."
        )
    members = [np.flatnonzero(labels == label) for label in enough]
    drawn = np.empty((episodes, ways, images_per_class), "int64")
    for episode in range(episodes):
        for way, chosen in enumerate(rng.choice(len(enough), ways, replace=False)):
            drawn[episode, way] = rng.choice(members[chosen], images_per_class, replace=False)
    return drawn


class Episodes(ImageDataset):
    """Batches that are episodes: `ways` classes, and of each `shots` images and then `queries` more.

    An epoch has `episodes` of them, a pure function of (seed, epoch), so that a resumed run repeats them. The
    labels stay those of the data set.

    Source: Prototypical Networks, arXiv 1703.05175, section 2.1 (algorithm 1); more ways in training than in
    the test help (section 3.1).

    Args:
        images: `(num_examples, height, width, channels)` array, uint8 or float in [0, 255].
        labels: `(num_examples,)` integers; images of label -1 are never drawn.
        ways: classes of an episode, at least 2.
        shots: support images of each class.
        queries: images of each class to be classified.
        episodes: episodes of an epoch.
        seed: non-negative integer that keys the draws.
        **kwargs: `epoch`, `num_classes`, `workers` and so on of `ImageDataset`.

    Raises:
        ValueError: as `ImageDataset`, or for missing labels, numbers below 1, or fewer classes than ways with
            as many images as an episode takes.

    Example:
        >>> import numpy as np
        >>> from kerassl.data import Episodes
        >>> labels = np.repeat([0, 1, 2], 10)
        >>> data = Episodes(np.zeros((30, 8, 8, 1), "uint8"), labels, ways=2, shots=1, queries=4, episodes=50)
        >>> images, labels = data[0]
        >>> len(data), images.shape, len(set(labels[:5])), len(set(labels))
        (50, (10, 8, 8, 1), 1, 2)
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        ways: int = 5,
        shots: int = 5,
        queries: int = 15,
        episodes: int = 100,
        seed: int = 0,
        **kwargs,
    ) -> None:
        if min(shots, queries) < 1:
            raise ValueError(f"shots and queries must be at least 1; got shots={shots}, queries={queries}.")
        if labels is None:
            raise ValueError("Episodes are drawn by class, so the images need labels.")
        super().__init__(images, labels, max(ways * (shots + queries), 1), shuffle=True, seed=seed, **kwargs)
        self.ways, self.shots, self.queries, self.episodes = ways, shots, queries, episodes
        self.examples_per_epoch = episodes * self.batch_size
        # Raises now for data that do not fit.
        self.order()

    def draw_order(self, rng: np.random.Generator) -> np.ndarray:
        """The `(examples_per_epoch,)` indices of an epoch whose generator is `rng`."""
        size = self.shots + self.queries
        return draw_episodes(self.labels, self.ways, size, self.episodes, rng).reshape(-1)
