"""What a method's `views` argument means."""

import keras
import numpy as np
import pytest
from keras import ops

import kerassl
from kerassl import views
from kerassl.views.choice import choose_views

DEFAULTS = ("byol_cifar", "byol")


def encoder(shape=(16, 16, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))


def choose(given, model=None, defaults=DEFAULTS, num_views=2, **options):
    return choose_views(given, defaults, model or encoder(), num_views, options)


def test_names_and_layers():
    assert choose(None) is None
    assert choose("default").view2.solarize_probability == 0.2
    assert choose("default", encoder((80, 48, 3))).view1.blur_probability == 1.0
    assert choose("dino", encoder((32, 48, 3))).preprocess.size == (32, 48)
    assert choose("default", num_views=4).num_views == 4
    layer = views.preset("swav", 16)
    assert choose(layer) is layer
    single = views.FusedAugmentation(16)
    assert isinstance(choose(single), views.OneView) and choose(single).view is single
    # A generator more would move the initial weights of all that a seeded program makes afterwards.
    assert choose(single).generator is single.generator


def test_statistics_of_the_encoder_are_those_of_its_default_views():
    model = encoder()
    model.input_mean, model.input_std = (0.5, 0.5, 0.5), (0.4, 0.4, 0.4)
    for given in ("default", "moco_v2", keras.layers.RandomFlip()):
        normalize = choose(given, model).preprocess.normalize
        assert (normalize.mean, normalize.std) == ((0.5, 0.5, 0.5), (0.4, 0.4, 0.4))
    assert choose("default", model, mean=0.3).preprocess.normalize.mean == (0.3,)


@pytest.mark.parametrize(
    ("defaults", "num_views", "kind", "count"),
    [
        (DEFAULTS, 2, views.TwoViews, 2),
        (DEFAULTS, 5, views.MultiCrop, 5),
        (("crop_flip", "crop_flip"), 2, views.OneView, 1),
        (("dino_cifar", "dino"), 2, views.MultiCrop, 2),
    ],
)
def test_any_layer_or_function_makes_as_many_views_as_the_default(defaults, num_views, kind, count):
    for layer in (keras.layers.RandomFlip(), lambda images: images):
        made = choose(layer, None, defaults, num_views)
        assert type(made) is kind and len(made(np.zeros((2, 20, 20, 3), "uint8"))) == count
    masked = choose(keras.layers.RandomFlip(), None, ("mae", "mae"), num_patches=4)
    assert masked.num_patches == 4


@pytest.mark.parametrize("given", ["default", "byol", keras.layers.GaussianNoise(0.1)])
def test_encoders_of_other_inputs_are_told_what_to_pass(given):
    with pytest.raises(ValueError, match=r"encoder takes inputs of shape \(None, 12\). Pass views= a layer"):
        choose(given, encoder((12,)))


@pytest.mark.parametrize(
    ("given", "model", "message"),
    [
        (
            "default",
            (None, None, 3),
            r"size the encoder's fixed input shape must say; got \(None",
        ),
        (3, (16, 16, 3), "views must be 'default', the name of a preset,.*; got 3"),
        ("byoll", (16, 16, 3), "did you mean 'byol'"),
    ],
)
def test_bad_views_are_named(given, model, message):
    pooled = keras.Input(model)
    features = keras.layers.GlobalAveragePooling2D()(pooled)
    with pytest.raises(ValueError, match=message):
        choose(given, keras.Model(pooled, features))


def test_a_model_trains_on_the_views_of_a_keras_layer(tmp_path):
    augment = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomContrast(0.4)])
    model = kerassl.methods.SimCLR(encoder(), views=augment, projection_dim=4)
    x = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype("uint8")
    loss = model.fit(x, batch_size=4, verbose=0).history["loss"][0]
    assert np.isfinite(loss) and model.predict(x, verbose=0).shape == (8, 4)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.views.view1, views.BatchAugmentation)
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


def test_a_layer_saved_alone_is_one_view_after_loading(tmp_path):
    view = views.FusedAugmentation(16)
    model = kerassl.classifiers.Classifier(encoder(), views=view, num_classes=3)
    assert isinstance(model.views, views.OneView) and model.views.view is view
    # Files of before hold the bare layer under the name that it had.
    config = {**model.get_config(), "views": keras.saving.serialize_keras_object(view)}
    assert config["views"]["registered_name"] == "kerassl>View"
    again = type(model).from_config(config)
    assert ops.shape(again.views(np.zeros((2, 16, 16, 3), "uint8"))[0]) == (2, 16, 16, 3)
