"""Whole views: randomness, compilation on each backend, multi-view layers, presets, saving, gallery."""

import functools
import json

import keras
import numpy as np
import pytest
from keras import ops

from kerassl import views
from kerassl.engine import StepSeed

RNG = np.random.default_rng(0)
EXTRA = {
    "mae": {"num_patches": 16},
    "mae_digits": {"num_patches": 16},
    "dino": {"num_local_crops": 2},
    "dino_cifar": {"num_local_crops": 1},
}
SAME_AS_OTHERS = ("barlow_twins", "barlow_twins_cifar", "moco_cifar")
ALL = {
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "grayscale_probability": 0.2,
    "blur_probability": 0.5,
    "solarize_probability": 0.2,
}

# Torch runs all presets that differ, piece by piece; the others compile one of each kind.
KINDS = ("unaugmented", "digits", "simclr_imagenet", "byol", "dino", "ibot", "msn", "mae", "emp_ssl", "groco")
on_torch = keras.backend.backend() == "torch"
COMPILED = [name for name in views.PRESETS if name not in SAME_AS_OTHERS] if on_torch else KINDS


def photos(*shape):
    return RNG.integers(0, 256, shape, dtype="uint8")


def to_numpy(x):
    return ops.convert_to_numpy(x)


@functools.cache
def stepper(layer, seed):
    """The layer as a function of images and step; compiled on JAX, which else compiles each operation."""

    def call(images, step):
        return layer(images, seed=StepSeed(seed, step))

    return compiled(call) if keras.backend.backend() == "jax" else call


def outputs(layer, images, step=0, seed=0):
    made = stepper(layer, seed)(ops.convert_to_tensor(images), ops.convert_to_tensor(step, "int32"))
    return [to_numpy(v) for v in made] if isinstance(made, (tuple, list)) else to_numpy(made)


def compiled(function):
    """The function as the backend compiles it in a train step; torch runs it eagerly."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def test_a_step_repeats_and_another_differs():
    view, x = views.FusedAugmentation(16, **ALL), photos(4, 20, 20, 3)
    np.testing.assert_array_equal(outputs(view, x, step=3), outputs(view, x, step=3))
    assert not np.allclose(outputs(view, x, step=3), outputs(view, x, step=4))
    assert not np.allclose(outputs(view, x, seed=1), outputs(view, x, seed=2))


def test_every_sample_draws_its_own_parameters():
    x = np.repeat(photos(1, 16, 16, 3), 32, 0)
    for settings in (
        {},
        {"scale": (1, 1), "ratio": (1, 1), "flip": 0.0, "brightness": 0.5, "jitter_probability": 1},
    ):
        out = outputs(views.FusedAugmentation(16, **settings), x)
        assert len(np.unique(out.reshape(32, -1).round(4), axis=0)) == 32


def test_two_views_differ_also_from_one_layer():
    first, second = outputs(views.TwoViews(views.FusedAugmentation(16)), photos(4, 16, 16, 3))
    assert first.shape == second.shape == (4, 16, 16, 3)
    assert not any(np.allclose(a, b) for a, b in zip(first, second, strict=True))


def test_own_generator_and_seed_argument():
    x = photos(4, 16, 16, 3)
    flip = views.RandomHorizontalFlip(0.5, seed=5)
    first, others = to_numpy(flip(x)), [to_numpy(flip(x)) for _ in range(5)]
    assert not all(np.array_equal(first, other) for other in others)
    np.testing.assert_array_equal(first, to_numpy(views.RandomHorizontalFlip(0.5, seed=5)(x)))


@pytest.mark.parametrize("channels", [1, 4, 12])
def test_any_number_of_channels(channels):
    out = outputs(views.FusedAugmentation(12, **ALL), photos(3, 16, 16, channels))
    assert out.shape == (3, 12, 12, channels) and np.isfinite(out).all()


def test_bytes_equal_floats():
    view, x = views.FusedAugmentation(12, **ALL), photos(3, 16, 16, 3)
    out = outputs(view, x)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, outputs(view, x.astype("float32")), atol=1e-5)


def test_a_view_without_changes_is_the_preprocessing():
    x = photos(3, 16, 16, 3)
    view = views.FusedAugmentation(16, scale=(1, 1), ratio=(1, 1), flip=0.0)
    np.testing.assert_allclose(outputs(view, x), to_numpy(view.preprocess(x)), atol=1e-4)


def test_the_fused_view_equals_the_single_layers():
    x = photos(4, 16, 16, 3)
    jitter = {"contrast": 0.3, "saturation": 0.3, "hue": 0.1}
    whole = {"scale": (1, 1), "ratio": (1, 1), "flip": 0.0}
    # Draws that do not matter are made by both, so that the draws that do come from the same place.
    fused = views.FusedAugmentation(
        16, **whole, **jitter, jitter_probability=1, solarize_probability=1.0, mean=0.5, std=0.25
    )
    layers = [views.RandomResizedCrop(16, (1, 1), (1, 1)), views.ColorJitter(**jitter), views.Solarize(1.0)]
    composed = views.Compose(layers, size=16, mean=0.5, std=0.25)
    np.testing.assert_allclose(outputs(fused, x), outputs(composed, x), atol=1e-4)


def test_a_fused_blur_equals_a_blur_after_the_crop():
    x = photos(4, 20, 20, 3)
    fused = views.FusedAugmentation(16, flip=0.0, blur_probability=1.0, mean=0.0, std=1.0)
    composed = views.Compose(
        [views.RandomResizedCrop(16), views.GaussianBlur(1.0)], size=16, mean=0.0, std=1.0
    )
    np.testing.assert_allclose(outputs(fused, x), outputs(composed, x), atol=1e-5)


def test_solarize_works_on_normalized_values():
    x = photos(4, 8, 8, 3)
    view = views.FusedAugmentation(
        8, scale=(1, 1), ratio=(1, 1), flip=0.0, solarize_probability=1.0, solarize_threshold=0.3
    )
    unit = to_numpy(view.preprocess.normalize.invert(outputs(view, x)))
    np.testing.assert_allclose(unit, np.where(x / 255.0 >= 0.3, 1 - x / 255.0, x / 255.0), atol=1e-5)


def test_outputs_have_the_statistics_of_normalized_images():
    x = np.clip(RNG.normal(0.47, 0.25, (48, 24, 24, 3)), 0, 1) * 255
    for view in outputs(views.preset("byol_cifar", 24), x.astype("float32")):
        assert abs(view.mean()) < 0.5 and 0.3 < view.std() < 1.5
        low = (0 - np.array(views.CIFAR_MEAN)) / np.array(views.CIFAR_STD)
        assert view.min() >= low.min() - 1e-4 and np.isfinite(view).all()


def test_presets_that_share_settings():
    def settings(layer):
        config = [view.get_config() for view in (layer.view1, layer.view2)]
        return [{k: v for k, v in c.items() if k != "name"} for c in config]

    assert settings(views.preset("barlow_twins", 32)) == settings(views.preset("byol", 32))
    assert settings(views.preset("barlow_twins_cifar", 32)) == settings(views.preset("byol_cifar", 32))
    assert settings(views.preset("moco_cifar", 32)) == settings(views.preset("simclr_cifar", 32))


@pytest.mark.parametrize("name", COMPILED)
def test_every_preset_compiles(name):
    channels = 1 if "digits" in name else 3
    layer = views.preset(name, 16, channels, **EXTRA.get(name, {}))
    step = compiled(lambda images, step: layer(images, seed=StepSeed(0, step)))
    x = ops.convert_to_tensor(photos(2, 16, 16, channels))
    made, again = (step(x, ops.convert_to_tensor(number, "int32")) for number in (7, 8))
    assert isinstance(made, tuple)
    made, again = [to_numpy(v) for v in made], [to_numpy(v) for v in again]
    assert len(made) == (2 if name.startswith("mae") else layer.num_views)
    assert made[0].shape == (2, 16, 16, channels) and np.isfinite(made[0]).all()
    assert all(np.array_equal(a, b) == (name == "unaugmented") for a, b in zip(made, again, strict=True))
    assert layer.preprocess.size == (16, 16)
    assert tuple(layer.preprocess(x).shape) == (2, 16, 16, channels)


@pytest.mark.backends("tensorflow")  # Only TensorFlow traces an unknown batch size.
def test_a_tensorflow_graph_takes_any_batch_size():
    import tensorflow as tf

    layer = views.preset("dino", 16, num_local_crops=2)
    step = tf.function(
        lambda images: layer(images, seed=StepSeed(0, 0)),
        input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.uint8)],
    )
    for batch in (1, 5):
        assert [v.shape[0] for v in step(tf.constant(photos(batch, 16, 16, 3)))] == [batch] * 4


@pytest.mark.backends("tensorflow")  # Layers run in tf.data.map on the TensorFlow backend.
def test_views_map_over_tf_data():
    import tensorflow as tf

    layer = views.TwoViews(views.FusedAugmentation(8, **ALL))
    dataset = tf.data.Dataset.from_tensor_slices(photos(8, 12, 12, 3)).batch(4).map(layer).repeat(2)
    batches = list(dataset)
    assert len(batches) == 4 and batches[0][0].shape == (4, 8, 8, 3)
    assert not np.allclose(batches[0][0], batches[2][0])


def test_multi_crop_shapes_order_and_preprocess():
    local = views.FusedAugmentation(8, scale=(0.05, 0.4))
    globals_ = [views.FusedAugmentation(16, blur_probability=1.0), views.FusedAugmentation(16)]
    crops = views.MultiCrop(globals_, [local] * 3)
    made = outputs(crops, photos(2, 20, 20, 3))
    assert crops.num_views == 5 and [v.shape[1] for v in made] == [16, 16, 8, 8, 8]
    assert not np.allclose(made[2], made[3]) and not np.allclose(made[3], made[4])
    assert crops.preprocess is globals_[0].preprocess
    with pytest.raises(ValueError, match="at least one global crop"):
        views.MultiCrop([])


def test_several_views_repeat_the_kinds_of_a_preset():
    layer = views.several_views(views.preset("byol_cifar", 16), 5)
    assert [view.solarize_probability for view in layer.global_crops] == [0, 0, 0, 0.2, 0.2]
    made = outputs(layer, np.repeat(photos(1, 16, 16, 3), 2, axis=0))
    assert len(made) == 5 and len({to_numpy(view).tobytes() for view in made}) == 5
    with pytest.raises(ValueError, match="num_views=3 repeats the views of a preset of two; got"):
        views.several_views(views.preset("crop_flip", 16), 3)
    with pytest.raises(ValueError, match="num_views must be at least 2, got 0"):
        views.several_views(views.preset("byol_cifar", 16), 0)


def test_masked_view():
    layer = views.preset("mae", 16, num_patches=9)
    image, permutation = outputs(layer, photos(3, 20, 20, 3))
    assert image.shape == (3, 16, 16, 3) and permutation.shape == (3, 9)
    np.testing.assert_array_equal(np.sort(permutation, -1), np.tile(np.arange(9), (3, 1)))


def test_dino_sizes():
    assert views.preset("dino", 224).local_crops[0].size == (96, 96)
    assert views.preset("dino", 96).local_crops[0].size == (40, 40)
    assert views.preset("dino", 32, patch_size=4).local_crops[0].size == (12, 12)
    assert views.preset("dino", 32).num_views == 10


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'simclr_cifar'"):
        views.preset("simclr_cifr", 32)


def test_compose_of_a_wrong_size_is_an_error():
    with pytest.raises(ValueError, match="size says"):
        views.Compose([views.RandomResizedCrop(8)], size=16)(photos(1, 16, 16, 3))


@pytest.mark.parametrize(
    "layer",
    [
        views.FusedAugmentation(
            12, scale=(0.3, 0.9), **ALL, mean=0.4, std=(0.1, 0.2, 0.3), interpolation="bicubic"
        ),
        views.TwoViews(views.FusedAugmentation(12), views.FusedAugmentation(12, solarize_probability=0.5)),
        views.TwoViews(views.FusedAugmentation(12)),
        views.OneView(views.FusedAugmentation(12, value_range=(0, 1))),
        views.BatchAugmentation(keras.layers.RandomFlip("horizontal", seed=1), 12, mean=0.5),
        views.MultiCrop([views.FusedAugmentation(12)] * 2, [views.FusedAugmentation(6)] * 2),
        views.MaskedView(views.FusedAugmentation(12), 4),
        views.Compose([views.RandomResizedCrop(12), views.ColorJitter(0.1), views.GaussianBlur()], size=12),
        views.Preprocess((12, 10), mean=0.5),
        views.RandomResizedCrop(12, flip=0.5),
        views.RandomPatchMask(9),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_config_round_trip(layer):
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(copy) is type(layer)
    assert json.dumps(keras.saving.serialize_keras_object(copy)) == json.dumps(config)


def test_a_copy_from_the_config_draws_the_same():
    layer = views.MultiCrop([views.FusedAugmentation(12, **ALL)], [views.FusedAugmentation(6)] * 2)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    x = photos(2, 14, 14, 3)
    for a, b in zip(outputs(layer, x), outputs(copy, x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_bfloat16_policy_does_not_round_the_pixels():
    x = photos(2, 16, 16, 3).astype("float32")
    expected = outputs(views.FusedAugmentation(16), x)
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        out = outputs(views.FusedAugmentation(16), x)
    finally:
        keras.config.set_dtype_policy("float32")
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("channels", "make"),
    [
        (1, lambda: views.preset("digits", 8, 1)),
        (3, lambda: views.MultiCrop([views.FusedAugmentation(16)], [views.FusedAugmentation(8)])),
        (4, lambda: views.preset("mae", 16, num_patches=16)),
    ],
)
def test_gallery_writes_a_readable_png(tmp_path, channels, make):
    image = pytest.importorskip("PIL.Image")
    path = views.gallery(photos(3, 16, 16, channels), make(), tmp_path / "views.png", num_images=2)
    with image.open(path) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[2] == 3 and pixels.shape[0] > 2 * 48 and len(np.unique(pixels)) > 20
