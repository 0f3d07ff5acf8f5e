"""Keras layers and functions of a batch as augmentations of images."""

import keras
import numpy as np
import pytest
from keras import ops

from kerassl import views
from kerassl.engine import StepSeed


@keras.saving.register_keras_serializable("test_batch_augmentation")
def darker(images):
    return images * 0.5


@keras.saving.register_keras_serializable("test_batch_augmentation")
def shifted(images, seed):
    return images + keras.random.uniform((), 0, 50, seed=seed)


def photos(*shape):
    return np.random.default_rng(0).integers(0, 200, shape).astype("uint8")


def numpy(made):
    return [ops.convert_to_numpy(view) for view in made]


def sequential():
    return keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomContrast(0.5)])


def test_a_function_sees_raw_images_and_its_result_is_normalized():
    x = photos(2, 8, 8, 3)
    layer = views.BatchAugmentation(darker, 8, mean=0.5, std=0.25)
    np.testing.assert_allclose(numpy([layer(x)])[0], (x / 510 - 0.5) / 0.25, atol=1e-5)
    assert tuple(views.BatchAugmentation(darker, (4, 6))(x).shape) == (2, 4, 6, 3)


@pytest.mark.parametrize("make", [sequential, lambda: keras.layers.RandomBrightness(0.3), lambda: shifted])
def test_draws_are_a_function_of_the_step(make):
    x = photos(4, 8, 8, 3)
    layer = views.TwoViews(views.BatchAugmentation(make(), 8))
    first, again, later = (numpy(layer(x, seed=StepSeed(0, step))) for step in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.allclose(first[0], later[0]) and not np.allclose(first[0], first[1])


def test_global_and_local_crops():
    large, small = views.BatchAugmentation(sequential(), 16), views.BatchAugmentation(darker, 8)
    crops = views.MultiCrop([large] * 2, [small, views.FusedAugmentation(8)])
    assert [view.shape[1] for view in numpy(crops(photos(2, 16, 16, 3)))] == [16, 16, 8, 8]


def test_layers_and_functions_in_compose():
    x = photos(4, 8, 8, 3)
    plain = views.Compose([], 8, mean=0.0, std=1.0)
    halved = views.Compose([darker, keras.layers.RandomFlip("horizontal")], 8, mean=0.0, std=1.0)
    np.testing.assert_allclose(numpy([halved(x)])[0].mean(), numpy([plain(x)])[0].mean() / 2, rtol=1e-5)
    assert halved.of_whole_batch and not plain.of_whole_batch
    assert not views.Compose([views.RandomHorizontalFlip()], 8).of_whole_batch


@pytest.mark.parametrize("layer", [darker, keras.layers.RandomFlip("horizontal")])
def test_saved_with_the_layer(layer):
    layer = views.BatchAugmentation(layer, 8, value_range=(0, 1))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.value_range == (0, 1) and type(copy.layer) is type(layer.layer)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: views.BatchAugmentation(3, 8), "layer must be a Keras layer or a function of images; got 3"),
        (
            lambda: views.TwoViews(keras.layers.RandomFlip()),
            "got RandomFlip. Any Keras layer",
        ),
        (lambda: views.TwoViews(darker), "got darker. Any Keras layer or function"),
        (
            lambda: views.BatchAugmentation(lambda x: (x, x), 8)(photos(2, 8, 8, 3)),
            "must return images, one tensor; got a tuple",
        ),
        (lambda: views.BatchAugmentation(lambda x: x[0], 8)(photos(2, 8, 8, 3)), "Images must have shape"),
    ],
)
def test_bad_layers_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
