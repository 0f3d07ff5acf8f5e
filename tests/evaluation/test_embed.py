import threading

import keras
import numpy as np
import pytest

from kerassl.data import ImageDataset
from kerassl.evaluation import embed


def images(count=10):
    return np.random.default_rng(0).integers(0, 255, (count, 6, 6, 1)).astype("uint8")


def pixels():
    return keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten()])


def network():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, seed=0),
        ]
    )


def test_order_and_labels_of_a_shuffled_dataset():
    data = ImageDataset(images(), np.arange(10), batch_size=3, shuffle=True, epoch=4)
    features, labels = embed(pixels(), data, batch_size=4)
    np.testing.assert_array_equal(features, images().reshape(10, -1))
    np.testing.assert_array_equal(labels, np.arange(10))
    assert features.dtype == np.float32 and data.epoch == 4


@pytest.mark.parametrize("labeled", [True, False])
def test_every_kind_of_data(labeled):
    labels = np.arange(10) if labeled else None

    def batches():
        for start in range(0, 10, 4):
            part = images()[start : start + 4]
            yield (part, labels[start : start + 4]) if labeled else (part,)

    kinds = [batches(), list(batches()), (images(), labels)]
    if labeled:
        kinds.append((keras.ops.convert_to_tensor(images()), keras.ops.convert_to_tensor(labels)))
    else:
        kinds += [
            images(),
            keras.ops.convert_to_tensor(images()),
            (images(),),
            (batch[0] for batch in batches()),
        ]
    model = pixels()
    for data in kinds:
        features, found = embed(model, data)
        np.testing.assert_array_equal(features, images().reshape(10, -1))
        assert found.tolist() == labels.tolist() if labeled else found is None


def test_tf_data_is_read_once_so_that_labels_stay_aligned():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((images(), np.arange(10))).shuffle(10).batch(4)
    features, labels = embed(pixels(), data)
    np.testing.assert_array_equal(features, images().reshape(10, -1)[labels])
    assert sorted(labels) == list(range(10))


def test_a_batch_is_read_while_the_one_before_it_is_computed():
    model, read, waited = pixels(), [threading.Event() for _ in range(4)], []
    predict = model.predict_on_batch

    def slowly(batch):
        # Comes to an end only if the next batch has been read meanwhile.
        step = len(waited)
        waited.append(step == 3 or read[step + 1].wait(timeout=20))
        return predict(batch)

    def batches():
        for step in range(4):
            read[step].set()
            yield images()[2 * step : 2 * step + 2], np.arange(2 * step, 2 * step + 2)

    model.predict_on_batch = slowly
    features, labels = embed(model, batches())
    assert waited == [True] * 4 and labels.tolist() == list(range(8))
    np.testing.assert_array_equal(features, images()[:8].reshape(8, -1))


def test_what_goes_wrong_in_reading_comes_out():
    def batches():
        yield images()[:2]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        embed(pixels(), batches())


def test_eval_mode_and_pooled_maps():
    model = network()
    before = [np.copy(weight) for weight in model.get_weights()]
    first, _ = embed(model, images(), batch_size=5)
    second, _ = embed(model, images(), batch_size=10)
    assert first.shape == (10, 4)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-4)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    maps = keras.ops.convert_to_numpy(model(images(), training=False))
    np.testing.assert_allclose(first, maps.mean((1, 2)), rtol=1e-5, atol=1e-4)


def test_half_precision_gives_float32():
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(dtype="mixed_bfloat16")])
    assert embed(model, images())[0].dtype == np.float32


def test_inside_fit():
    class Embed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            shapes.append(embed(self.model, (images(), np.arange(10)))[0].shape)

    shapes = []
    model = keras.Sequential([network(), keras.layers.GlobalAveragePooling2D()])
    model.compile("sgd", "mse")
    model.fit(images(), np.zeros((10, 4)), batch_size=10, epochs=2, verbose=0, callbacks=[Embed()])
    assert shapes == [(10, 4)] * 2


def test_bad_data_and_models():
    two = keras.Input((6, 6, 1))
    outputs = keras.layers.Flatten()(two)
    with pytest.raises(ValueError, match="data holds no examples"):
        embed(pixels(), images()[:0])
    with pytest.raises(ValueError, match="gave no batch"):
        embed(pixels(), [])
    with pytest.raises(ValueError, match="2 views"):
        embed(pixels(), [((images(), images()), np.arange(10))])
    with pytest.raises(ValueError, match=r"labels must have shape \(10,\)"):
        embed(pixels(), (images(), np.arange(9)))
    with pytest.raises(ValueError, match="got a list"):
        embed(keras.Model(two, [outputs, outputs]), images())


def test_features_are_pooled_over_all_axes_between():
    inputs = keras.Input((6, 6, 1))
    for shape in ((36, 1), (2, 3, 3, 2)):
        model = keras.Model(inputs, keras.layers.Reshape(shape)(inputs))
        expected = images().reshape(10, -1, shape[-1]).astype("float32").mean(1)
        np.testing.assert_allclose(embed(model, images())[0], expected, rtol=1e-6)


def test_labels_are_one_each():
    one_hot, x = np.eye(10)[np.arange(8)], images(8)
    for data in ([(x, one_hot)], (x, one_hot)):
        with pytest.raises(ValueError, match=r"labels must have shape \(8,\), .*\(8, 10\).*argmax"):
            embed(pixels(), data)
    column = np.arange(8)[:, None]
    assert embed(pixels(), [(x, column)])[1].tolist() == list(range(8))
    with pytest.raises(ValueError, match="labels in some batches"):
        embed(pixels(), [(x, np.arange(8)), (x,)])


def test_a_list_of_images_says_how_to_stack_them():
    with pytest.raises(ValueError, match=r"list of 8 examples.*np.stack\(data\)"):
        embed(pixels(), list(images(8)))
    with pytest.raises(ValueError, match="inputs of 4 axes"):
        embed(pixels(), images(8)[0])
    np.testing.assert_array_equal(embed(pixels(), [images(4), images(8)])[0][4:], images(8).reshape(8, -1))


def two_inputs(named=True):
    wave, table = keras.Input((6, 2), name="wave"), keras.Input((3,), name="table")
    features = keras.layers.Concatenate()([keras.layers.Flatten()(wave), table])
    return keras.Model({"wave": wave, "table": table} if named else [wave, table], features)


def test_dicts_and_tuples_of_arrays():
    rng = np.random.default_rng(0)
    wave, table = (rng.normal(size=(8, *shape)).astype("float32") for shape in ((6, 2), (3,)))
    expected, labels = np.concatenate([wave.reshape(8, -1), table], axis=1), np.arange(8)
    kinds = ((two_inputs(), {"wave": wave, "table": table}), (two_inputs(named=False), (wave, table)))
    for model, inputs in kinds:
        for data, found in (
            (inputs, None),
            ((inputs, labels), labels),
            ([inputs, inputs], None),
            ([(inputs, labels), (inputs, labels)], np.tile(labels, 2)),
        ):
            features, given = embed(model, data)
            np.testing.assert_allclose(features, np.tile(expected, (len(features) // 8, 1)), rtol=1e-6)
            assert given is None if found is None else given.tolist() == found.tolist()
    with pytest.raises(ValueError, match=r"must have one length; got \[\d, \d\]"):
        embed(two_inputs(), {"wave": wave, "table": table[:7]})


def test_images_with_positions_as_fit_takes_them():
    data = {"images": images(), "positions": np.arange(10)}
    for given in (data, [data], [(data, np.arange(10))]):
        features, _ = embed(pixels(), given)
        np.testing.assert_array_equal(features, images().reshape(10, -1))
