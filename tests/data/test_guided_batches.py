import numpy as np
import pytest

from kerassl.data import GuidedBatches, ImageDataset, OrderedBatches
from kerassl.methods.contrastive.gsimclr_clusters import cluster_images


def guided(clusters, batch_size, seed=0, **kwargs):
    clusters = np.asarray(clusters)
    images = np.zeros((len(clusters), 8, 8, 1), "uint8")
    return GuidedBatches(images, clusters, clusters, batch_size, seed, **kwargs)


def clusters_of(data):
    return [data[index][1] for index in range(len(data))]


def test_balanced_clusters_give_one_image_of_each_to_every_batch():
    data = guided(np.random.default_rng(0).permutation(np.repeat(np.arange(6), 5)), batch_size=6)
    for epoch in range(3):
        data.epoch = epoch
        for batch in clusters_of(data):
            assert sorted(batch) == [0, 1, 2, 3, 4, 5]


def test_every_epoch_is_another_permutation_that_seed_and_epoch_decide():
    clusters = np.random.default_rng(1).integers(0, 7, 50)
    data, again, other = guided(clusters, 8), guided(clusters, 8), guided(clusters, 8, seed=1)
    orders = [data.order(epoch) for epoch in range(3)]
    for epoch, order in enumerate(orders):
        np.testing.assert_array_equal(np.sort(order), np.arange(50))
        np.testing.assert_array_equal(again.order(epoch), order)
        assert (other.order(epoch) != order).any()
    assert (orders[0] != orders[1]).any() and (orders[1] != orders[2]).any()


def test_clusters_of_unequal_size_are_spread_over_the_whole_epoch():
    sizes = np.array([100, 40, 20, 20, 10, 10])
    data = guided(np.repeat(np.arange(6), sizes), batch_size=20)
    for batch in clusters_of(data):
        expected = sizes / 10
        assert (np.abs(np.bincount(batch, minlength=6) - expected) <= 1).all()


def test_random_clusters_leave_batches_as_they_would_be():
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(10), 40)
    data = guided(rng.integers(0, 20, 400), batch_size=20)
    pairs = []
    for epoch in range(60):
        for batch in classes[data.order(epoch)].reshape(20, 20):
            counts = np.bincount(batch)
            pairs.append((counts * (counts - 1)).sum() / 2)
    # Of the 190 pairs of a batch, those of one class where images are drawn without looking.
    assert np.mean(pairs) == pytest.approx(190 * 39 / 399, rel=0.02)


def test_an_epoch_can_be_entered_in_its_middle():
    data = guided(np.arange(12) % 4, 4)
    data.epoch = 2
    whole = clusters_of(data)
    rest = OrderedBatches(data, epoch=2, start=1)
    assert len(rest) == 2
    np.testing.assert_array_equal(rest[0][1], whole[1])


@pytest.mark.parametrize("clusters", [np.zeros(3, int), np.zeros(4), np.array([0, 1, -1, 0])])
def test_bad_clusters(clusters):
    with pytest.raises(ValueError, match="clusters must be 4 integers from 0, one for each image"):
        GuidedBatches(np.zeros((4, 8, 8, 1), "uint8"), clusters)


@pytest.mark.backends("torch")  # An autoencoder of Keras and scikit-learn's k-means.
def test_images_that_differ_are_in_different_clusters():
    rng = np.random.default_rng(0)
    kinds = np.arange(24) % 3
    colors = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250]])
    images = colors[kinds][:, None, None] + rng.normal(0, 3, (24, 12, 12, 3))
    data = ImageDataset(np.clip(images, 0, 255).astype("uint8"), batch_size=8)
    clusters = cluster_images(data, 3, epochs=2, verbose=0)
    assert clusters.dtype == np.int32
    assert len({(kind, cluster) for kind, cluster in zip(kinds, clusters, strict=True)}) == 3
    np.testing.assert_array_equal(cluster_images(data, 3, epochs=2, verbose=0), clusters)
    with pytest.raises(ValueError, match="24 images cannot make 25 clusters; pass num_clusters=24"):
        cluster_images(data, 25)
