"""Examples of any kind: arrays, tuples and dicts of arrays with one first axis."""

import collections

import keras
import numpy as np
import pytest

from kerassl.data import ArrayDataset, Episodes, ImageDataset, OrderedBatches, shard_for_devices
from kerassl.data.in_memory import as_dataset

SIGNAL = np.arange(60, dtype="float32").reshape(10, 3, 2)
TABLE = np.arange(10, dtype="float32")[:, None]
Pair = collections.namedtuple("Pair", "left right")


def test_trees_keep_their_form_and_their_rows():
    for inputs in (
        SIGNAL,
        (SIGNAL, TABLE),
        {"signal": SIGNAL, "more": {"table": TABLE}},
        Pair(SIGNAL, TABLE),
    ):
        data = ArrayDataset(inputs, np.arange(10), batch_size=4, shuffle=True, seed=2)
        order = np.random.default_rng([2, 0]).permutation(10)
        for index in range(3):
            rows = order[4 * index : 4 * index + 4]
            batch, labels = data[index]
            assert labels.tolist() == rows.tolist()
            keras.tree.assert_same_structure(batch, inputs)
            for part, whole in zip(keras.tree.flatten(batch), keras.tree.flatten(inputs), strict=True):
                np.testing.assert_array_equal(part, whole[rows])


def test_batches_have_the_parts_that_are_asked_for():
    assert len(ArrayDataset(SIGNAL, batch_size=4)[0]) == 1
    inputs, labels, indices = ArrayDataset(SIGNAL, batch_size=4, with_indices=True)[2]
    assert inputs.shape == (2, 3, 2) and labels.tolist() == [-1, -1] and indices.tolist() == [8, 9]
    assert labels.dtype == indices.dtype == np.int32
    data = ArrayDataset(TABLE, np.arange(10) * 2, batch_size=4, shuffle=True, with_indices=True)
    for inputs, labels, indices in (data[index] for index in range(3)):
        np.testing.assert_array_equal(inputs[:, 0], indices)
        np.testing.assert_array_equal(labels, 2 * indices)
    images = ImageDataset(np.zeros((4, 2, 2, 1), "uint8"), batch_size=3, with_indices=True)
    assert images[1][2].tolist() == [3]


def test_a_pass_can_begin_at_any_batch_of_any_epoch():
    def make(**options):
        return ArrayDataset((SIGNAL, TABLE), batch_size=3, shuffle=True, seed=1, with_indices=True, **options)

    whole, later = make(), make(epoch=2)
    seen = []
    for _ in range(3):
        whole.on_epoch_begin()
        seen.append([whole[index][2].tolist() for index in range(len(whole))])
        whole.on_epoch_end()
    assert len({str(order) for order in seen}) == 3
    rest = OrderedBatches(later, epoch=2, start=1)
    assert [rest[index][2].tolist() for index in range(len(rest))] == seen[2][1:]


def test_keras_trains_on_three_parts_and_on_dicts():
    """Indices arrive as Keras' third entry, on every backend."""
    arrived = []

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs["table"])

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            arrived.append([tuple(part.shape) for part in (x["signal"], y, sample_weight)])
            return keras.ops.mean(y_pred)

    data = ArrayDataset({"signal": SIGNAL, "table": TABLE}, batch_size=5, shuffle=True, with_indices=True)
    model = Model()
    model.compile("sgd", run_eagerly=True)
    model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert arrived[-1] == [(5, 3, 2), (5,), (5,)]


def test_lists_and_tensors_are_arrays():
    for inputs in (SIGNAL.tolist(), list(SIGNAL), keras.ops.convert_to_tensor(SIGNAL)):
        np.testing.assert_array_equal(ArrayDataset(inputs).inputs, SIGNAL)
    for labels in ([0, 1] * 5, (0, 1) * 5, keras.ops.convert_to_tensor(np.array([0, 1] * 5))):
        assert ArrayDataset(SIGNAL, labels).labels.tolist() == [0, 1] * 5
    images = np.zeros((3, 2, 2, 1), "uint8")
    for several in (list(images), tuple(images)):
        assert ImageDataset(several, [0, 1, 2]).images.shape == (3, 2, 2, 1)


@pytest.mark.parametrize(
    "inputs, text",
    [
        ((SIGNAL, TABLE[:9]), "got lengths 9, 10"),
        ({}, "hold no array"),
        (np.zeros((0, 3)), "empty: 0 examples"),
        (np.array(["a", "b"]), "arrays of numbers.*dtype <U1.*Encode text"),
        (np.float32(3), r"got shape \(\)"),
        ([np.zeros(3), np.zeros(4)], r"of one shape; got shapes \(3,\), \(4,\). Resize or pad"),
    ],
)
def test_bad_inputs_are_named(inputs, text):
    with pytest.raises(ValueError, match=text):
        ArrayDataset(inputs)


@pytest.mark.parametrize("make", (ArrayDataset, ImageDataset))
@pytest.mark.parametrize(
    "labels, text",
    [
        ([0, 1, 2**40], "below 16,777,216; got 1,099,511,627,776, which looks like an identifier"),
        ([0, 2**32, 0], "which looks like an identifier"),
        ([0, None, 1], "got 1 labels that are None. Use -1"),
        (["cat", "dog", "cat"], "got dtype <U3. Convert them with np.unique"),
        (np.eye(3, dtype=int), r"got shape \(3, 3\).*argmax"),
        ([[0], [1, 2], [3]], "A list of labels must hold labels of one shape"),
        ([0.0, 1.0, 2.0], "got dtype float64.*astype"),
        ([0, 1], "3 images but 2 labels"),
    ],
)
def test_bad_labels_are_named(make, labels, text):
    with pytest.raises(ValueError, match=text):
        make(np.zeros((3, 4, 4, 1), "uint8"), labels)


def test_images_of_several_shapes_are_named():
    with pytest.raises(
        ValueError, match=r"A list of images must hold images of one shape; got shapes \(4, 4, 1\)"
    ):
        ImageDataset([np.zeros((4, 4, 1)), np.zeros((5, 4, 1))])


def test_descriptions_say_what_is_held():
    data = ArrayDataset((SIGNAL, TABLE), [0, 1, -1, -1, 2] * 2, batch_size=4, shuffle=True, seed=3)
    assert repr(data) == (
        "ArrayDataset(10 examples of ((3, 2) float32, (1,) float32), 3 classes (4 unlabeled), batch_size=4, "
        "shuffle=True, seed=3, epoch=0)"
    )
    images = np.zeros((30, 8, 8, 1), "uint8")
    assert (
        repr(ImageDataset(images)) == "ImageDataset(30 images of (8, 8, 1) uint8, no labels, batch_size=256)"
    )
    assert repr(Episodes(images, np.repeat([0, 1], 15), 2, 1, 1)).startswith(
        "Episodes(30 images of (8, 8, 1)"
    )


def test_devices_and_fit_take_any_tree():
    data, options = as_dataset(
        {"a": SIGNAL.astype("float64")},
        None,
        4,
        1,
        {"validation_split": 0.2, "verbose": 0},
        kind=ArrayDataset,
    )
    assert len(data) == 2 and data.inputs["a"].dtype == np.float32 and data.shuffle and data.seed == 1
    np.testing.assert_array_equal(options["validation_data"][0]["a"], SIGNAL[8:])
    halves = [shard_for_devices(data, None, None, 2, (index, 2))[0] for index in range(2)]
    both = np.concatenate([half[0][0]["a"] for half in halves])
    np.testing.assert_array_equal(both, data[0][0]["a"])
