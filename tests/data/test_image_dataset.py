import warnings

import keras
import numpy as np
import pytest

from kerassl.data import ImageDataset, validate_batch


def numbered(count=10, **options):
    images = np.tile(np.arange(count, dtype="uint8")[:, None, None, None], (1, 4, 4, 1))
    return ImageDataset(images, np.arange(count), **options)


def seen(data):
    return np.concatenate([data[i][1] for i in range(len(data))]).tolist()


def test_order_is_a_function_of_seed_and_epoch():
    data = numbered(batch_size=4, shuffle=True, seed=3)
    first = seen(data)
    assert first == np.random.default_rng([3, 0]).permutation(10).tolist()
    assert first == seen(data), "reading twice must not move the order"
    data.on_epoch_begin()
    data.on_epoch_end()
    data.on_epoch_end()
    second = seen(data)
    assert data.epoch == 1 and second != first and sorted(second) == list(range(10))
    assert seen(numbered(batch_size=4, shuffle=True, seed=3, epoch=1)) == second
    data.epoch = 0
    assert seen(data) == first
    assert seen(numbered(batch_size=4, shuffle=True, seed=4)) != first
    assert data.order(1).tolist() == second


def test_images_and_labels_stay_together():
    for images, labels in numbered(batch_size=3, shuffle=True):
        assert images.dtype == np.uint8 and labels.dtype == np.int32
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)


def test_batches_and_remainder():
    data = numbered(batch_size=4)
    assert len(data) == data.num_batches == 3 and data[2][0].shape == (2, 4, 4, 1)
    assert len(numbered(batch_size=4, drop_remainder=True)) == 2
    assert len(numbered(batch_size=5, drop_remainder=True)) == len(numbered(batch_size=5)) == 2
    assert seen(data) == list(range(10))
    with pytest.raises(IndexError):
        data[3]
    with pytest.raises(ValueError, match="no batch of 11"):
        numbered(batch_size=11, drop_remainder=True)


def test_unlabeled_gives_a_one_tuple():
    (images,) = ImageDataset(np.zeros((3, 4, 4, 2), "float32"), batch_size=2)[0]
    assert images.shape == (2, 4, 4, 2)


def test_fit_advances_the_epoch_without_warnings():
    data = numbered(batch_size=4, shuffle=True)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    used = []

    class Spy(ImageDataset):
        def on_epoch_begin(self):
            used.append(self.epoch)
            super().on_epoch_begin()

    data = Spy(data.images, data.labels, batch_size=4, shuffle=True)
    loss = keras.losses.MeanSquaredError()
    loss.built = True
    model.compile("sgd", loss)
    model.evaluate(np.zeros((2, 4, 4, 1)), np.zeros((2, 1)), verbose=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="keras.*")
        model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert data.epoch == 2 and used == [0, 1]


@pytest.mark.parametrize(
    "images, labels, text",
    [
        (np.zeros((0, 4, 4, 1)), None, "empty"),
        (np.zeros((3, 4, 4)), None, r"got shape \(3, 4, 4\)"),
        (np.zeros((3, 4, 4, 1), "bool"), None, "dtype bool"),
        (np.zeros((3, 4, 4, 1)), np.zeros(2, int), "3 images but 2 labels"),
        (np.zeros((3, 4, 4, 1)), np.zeros((3, 1), int), r"labels\[:, 0\]"),
        (np.zeros((3, 4, 4, 1)), np.zeros(3), "astype"),
        (np.zeros((3, 4, 4, 1)), np.array([0, -2, 1]), "at least -1"),
        (np.zeros((3, 4, 4, 1)), np.array([0, 1, 5]), r"\[-1, 5\)"),
    ],
)
def test_bad_input_is_named(images, labels, text):
    with pytest.raises(ValueError, match=text):
        ImageDataset(images, labels, num_classes=5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_pixels_are_counted(value):
    images = np.full((5, 4, 4, 1), 9.0)
    images[2, 1, 1, 0] = images[4, 0, 0, 0] = value
    with pytest.raises(ValueError, match="2 of 5 images hold NaN or infinite values; the first is number 2"):
        validate_batch(images)


def test_integers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="values from 300 to 300"):
        validate_batch(np.full((3, 4, 4, 1), 300))


def test_floats_that_look_normalized_warn():
    with pytest.warns(UserWarning, match=r"\[0, 255\]"):
        validate_batch(np.full((2, 4, 4, 1), 0.5))
    with pytest.warns(UserWarning, match="normalized"):
        validate_batch(np.linspace(-2, 2, 32).reshape(2, 4, 4, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validate_batch(np.full((2, 4, 4, 1), 200.0))
        validate_batch(np.zeros((2, 4, 4, 1)))
        validate_batch(np.ones((2, 4, 4, 1), "uint8"))


def test_tensors_and_unlabeled_labels_pass():
    images = keras.ops.convert_to_tensor(np.full((2, 4, 4, 3), 7.0, "float32"))
    validate_batch(images, keras.ops.convert_to_tensor(np.array([-1, 2], "int32")), num_classes=3)
    validate_batch(keras.ops.cast(images, "bfloat16"))
    with pytest.raises(ValueError, match="Pass num_classes=4"):
        validate_batch(images, np.array([3, 2]), num_classes=2)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"seed": -1}, {"epoch": -1}])
def test_bad_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        numbered(**options)


def test_indices_go_with_their_images():
    for batch, labels in numbered(batch_size=3, shuffle=True, with_indices=True):
        assert batch["sample_index"].dtype == np.int32
        np.testing.assert_array_equal(batch["inputs"][:, 0, 0, 0], batch["sample_index"])
        np.testing.assert_array_equal(batch["sample_index"], labels)


def test_images_of_any_scale_are_held():
    wide = np.linspace(0, 4000, 32).reshape(2, 4, 4, 1).astype("uint16")
    assert ImageDataset(wide, batch_size=2)[0][0].max() == 4000
    with pytest.raises(ValueError, match="Images must have shape"):
        ImageDataset(wide[0])
