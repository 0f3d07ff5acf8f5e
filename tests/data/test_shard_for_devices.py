import keras
import numpy as np
import pytest

import kerassl
from kerassl.data import ImageDataset, check_divides, shard_for_devices


class Batches(keras.utils.PyDataset):
    def __init__(self, *sizes):
        super().__init__()
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return (np.zeros((self.sizes[index], 4, 4, 1), "uint8"),)


def numbered(n, **kwargs):
    images = np.arange(n, dtype="uint8").reshape(n, 1, 1, 1)
    return ImageDataset(images, np.arange(n), **kwargs)


@pytest.mark.parametrize(
    ("batch_size", "devices", "nearest"),
    [(30, 4, "do are 28, 32"), (3, 8, "does is 8"), (255, 2, "do are 254, 256")],
)
def test_the_nearest_sizes_are_named(batch_size, devices, nearest):
    with pytest.raises(
        ValueError, match=f"{batch_size} images .* {devices} devices; the nearest that {nearest}"
    ):
        check_divides(batch_size, devices)


def test_shares_of_a_batch_make_the_batch():
    whole = numbered(20, batch_size=8, shuffle=True, seed=3)
    parts = [shard_for_devices(whole, None, None, 4, (index, 2))[0] for index in range(2)]
    for batch in range(2):
        together = np.concatenate([part[batch][1] for part in parts])
        np.testing.assert_array_equal(together, whole[batch][1])
    assert [part[0][0].shape[0] for part in parts] == [4, 4]
    assert whole.share == (0, 1)


def test_a_last_batch_that_does_not_cut_is_left_out_with_a_note(capsys):
    whole = numbered(19, batch_size=8)
    cut, _ = shard_for_devices(whole, None, None, 2, (0, 1))
    assert len(cut) == 2 and len(whole) == 3
    assert capsys.readouterr().out.startswith(
        "The last batch of 3 images does not cut evenly among 2 devices"
    )
    even, _ = shard_for_devices(numbered(18, batch_size=8), None, None, 2, (0, 1))
    assert len(even) == 3
    assert not capsys.readouterr().out


def test_arrays_and_views_are_cut():
    images, labels = np.zeros((19, 4, 4, 1)), np.arange(19)
    x, y = shard_for_devices(images, labels, 8, 2, (0, 1))
    assert x.shape[0] == len(y) == 16
    (first, second), y = shard_for_devices((images, images), labels, 8, 2, (0, 1))
    assert first.shape[0] == second.shape[0] == len(y) == 16
    x, y = shard_for_devices(images, labels, 8, 2, (1, 2))
    np.testing.assert_array_equal(x[0][1], [4, 5, 6, 7])
    assert y is None
    with pytest.raises(ValueError, match="not arrays"):
        shard_for_devices((images, images), labels, 8, 2, (1, 2))


def test_other_data_must_cut_by_itself():
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="A batch of 5 images"):
        shard_for_devices(Batches(8, 8, 5), None, None, 2, (0, 1))
    # This process has two of the four devices, and gives half of each batch.
    good = Batches(6, 6, 4)
    assert shard_for_devices(good, None, None, 4, (0, 2))[0] is good
    images = tf.data.Dataset.from_tensor_slices(np.zeros((19, 4, 4, 1)))
    with pytest.raises(ValueError, match="drop_remainder=True"):
        shard_for_devices(images.batch(8), None, None, 2, (0, 1))
    whole = images.batch(8, drop_remainder=True)
    assert shard_for_devices(whole, None, None, 2, (0, 1))[0] is whole


def test_load_leaves_out_the_last_batch():
    train, test, _ = kerassl.data.load("digits", batch_size=100, drop_remainder=True)
    assert (len(train), len(test)) == (14, 4)
