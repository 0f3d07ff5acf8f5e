import numpy as np
import pytest

from kerassl.data import Episodes
from kerassl.evaluation import episode_accuracy

LABELS = np.array([0] * 9 + [1] * 3 + [2] * 12 + [3] * 7 + [-1] * 5)
IMAGES = np.broadcast_to(np.arange(36, dtype="uint8")[:, None, None, None], (36, 4, 4, 1))


def episodes(**kwargs):
    return Episodes(IMAGES, LABELS, **{"ways": 2, "shots": 2, "queries": 5, "episodes": 6, **kwargs})


def test_every_batch_is_a_balanced_episode():
    data = episodes()
    assert len(data) == 6
    seen = set()
    for index in range(6):
        images, labels = data[index]
        assert images.shape == (14, 4, 4, 1) and len(set(images[:, 0, 0, 0])) == 14
        np.testing.assert_array_equal(LABELS[images[:, 0, 0, 0]], labels)
        # A class after the other; one of three images is too small for any.
        assert (labels[:7] == labels[0]).all() and (labels[7:] == labels[7]).all() and labels[0] != labels[7]
        seen |= set(labels)
    assert seen == {0, 2, 3}


def test_an_epoch_is_a_function_of_seed_and_epoch():
    def shown(data):
        return np.stack([data[index][0][:, 0, 0, 0] for index in range(6)])

    np.testing.assert_array_equal(shown(episodes(seed=3, epoch=2)), shown(episodes(seed=3, epoch=2)))
    assert (shown(episodes(seed=3, epoch=2)) != shown(episodes(seed=3, epoch=1))).any()
    assert (shown(episodes(seed=3, epoch=2)) != shown(episodes(seed=4, epoch=2))).any()


def test_devices_get_their_shares():
    data = episodes()
    whole = data[1][0]
    data.share = (1, 2)
    np.testing.assert_array_equal(data[1][0], whole[7:])


def test_episodes_that_cannot_be_drawn_are_named():
    with pytest.raises(ValueError, match="4 ways need as many classes of at least 7 images .*3 of the 4"):
        episodes(ways=4)
    with pytest.raises(ValueError, match="at least two classes.*ways=1"):
        episodes(ways=1)
    with pytest.raises(ValueError, match="shots=0, queries=5"):
        episodes(shots=0)
    with pytest.raises(ValueError, match="0 episodes"):
        episodes(episodes=0)
    with pytest.raises(ValueError, match="the images need labels"):
        Episodes(IMAGES)


def test_episode_accuracy_is_that_of_the_nearest_mean():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 10)
    features = (0.8 * np.eye(6)[labels] + rng.normal(0, 0.5, (60, 6))).astype("float32")
    mean, half = episode_accuracy(features, labels, ways=4, shots=2, queries=3, episodes=40, seed=1)
    rng, accuracies = np.random.default_rng(1), []
    for _ in range(40):
        hits, support, asked = [], [], []
        for chosen in rng.choice(6, 4, replace=False):
            drawn = rng.choice(np.flatnonzero(labels == chosen), 5, replace=False)
            support.append(features[drawn[:2]].mean(axis=0))
            asked.append(features[drawn[2:]])
        for way in range(4):
            for row in asked[way]:
                hits.append(np.argmin([np.sum((row - c) ** 2) for c in support]) == way)
        accuracies.append(np.mean(hits))
    assert mean == pytest.approx(np.mean(accuracies)) and 0.3 < mean < 1
    assert half == pytest.approx(1.96 * np.std(accuracies, ddof=1) / np.sqrt(40))
    assert episode_accuracy(features + 1000, labels, 4, 2, 3, 40, seed=1)[0] == pytest.approx(mean, abs=0.01)
    with pytest.raises(ValueError, match="7 ways need"):
        episode_accuracy(features, labels, ways=7)
