"""The presets of papers: what all of them promise."""

import keras
import numpy as np
import pytest
from compiled_on_jax import compiled_on_jax
from keras import ops

from kerassl import views
from kerassl.engine import StepSeed

NEEDS = {"mae": {"num_patches": 6}, "mae_digits": {"num_patches": 6}}
EXPECTED_KINDS = {views.OneView: 2, views.MaskedView: 2, views.MultiCrop: 11, views.TwoViews: 18}


def single_views(layer):
    """The layers of single views that a views layer holds."""
    if isinstance(layer, views.MultiCrop):
        return [*layer.global_crops, *layer.local_crops]
    return [layer.view1, layer.view2] if isinstance(layer, views.TwoViews) else [layer.view]


def photos(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype("uint8")


def test_every_preset_says_where_it_is_from():
    kinds = [preset.layer for preset in views.PRESETS.values()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == EXPECTED_KINDS
    for preset in views.PRESETS.values():
        assert preset.summary.endswith(".") and preset.source and preset.evidence


@pytest.mark.backends("tensorflow", "torch")  # Sizes; JAX would compile each operation of each.
@pytest.mark.parametrize("name", views.PRESETS)
def test_every_preset_takes_images_that_are_not_square(name):
    layer = views.preset(name, (32, 48), 3, **NEEDS.get(name, {}))
    assert isinstance(layer, views.Views) and layer.preprocess.size == (32, 48)
    made = layer(photos(2, 40, 40, 3), seed=StepSeed(0, 0))
    assert tuple(made[0].shape) == (2, 32, 48, 3)
    for view in single_views(layer):
        height, width = view.size
        assert height <= width and width <= 48
    local = views.PRESETS[name]
    if local.num_local_crops:
        height, width = single_views(layer)[-1].size
        share = float(local.local_share)
        assert abs(width - 48 * share) <= (local.patch_size or 1) and height % (local.patch_size or 1) == 0


@pytest.mark.parametrize("name", views.PRESETS)
def test_every_preset_takes_the_statistics_of_the_data(name):
    scale = {"mean": (0.1, 0.2), "std": (0.3, 0.4), "value_range": (-100, 4000)}
    layer = views.preset(name, 32, 2, **scale, **NEEDS.get(name, {}))
    for view in single_views(layer):
        found = view.get_config()
        assert (found["mean"], found["std"], found["value_range"]) == ((0.1, 0.2), (0.3, 0.4), (-100, 4000))
    assert layer.preprocess.value_range == (-100, 4000)


@pytest.mark.parametrize("name", ["byol", "lejepa", "digits", "crop_flip"])
def test_another_scale_of_the_same_images_gives_the_same_views(name):
    x = photos(4, 36, 36, 3)
    other = x / 255 * 4100 - 100
    usual, of_other = views.preset(name, 32), views.preset(name, 32, value_range=(-100, 4000))
    expected = compiled_on_jax(lambda x: usual(x, seed=StepSeed(0, 1)))(x)
    made = compiled_on_jax(lambda x: of_other(x, seed=StepSeed(0, 1)))(other.astype("float32"))
    for view, same in zip(made, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(view), ops.convert_to_numpy(same), atol=1e-3)


def test_preprocessing_of_another_scale_and_back():
    x = photos(2, 8, 8, 3)
    plain, scaled = views.Preprocess(8), views.Preprocess(8, value_range=(-100, 4000))
    other = (x / 255 * 4100 - 100).astype("float32")
    made = ops.convert_to_numpy(scaled(other))
    np.testing.assert_allclose(made, ops.convert_to_numpy(plain(x)), atol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(scaled.invert(made)), other, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(ops.convert_to_numpy(plain.invert(plain(x))), x, atol=1e-3)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(scaled))
    assert copy.value_range == (-100, 4000)


def test_measured_statistics_normalize_the_data():
    x = np.random.default_rng(0).integers(100, 4001, (16, 8, 8, 4)).astype("uint16")
    scale = views.image_statistics(x)
    assert scale["value_range"] == (x.min(), x.max())
    made = ops.convert_to_numpy(views.preset("simclr_imagenet", 8, 4, **scale).preprocess(x))
    np.testing.assert_allclose(made.mean((0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(made.std((0, 1, 2)), 1, atol=1e-3)
    assert views.image_statistics(photos(2, 4, 4, 1))["value_range"] == (0, 255)
    with pytest.raises(ValueError, match=r"black < white, such as \(0, 255\); got"):
        views.image_statistics(np.ones((2, 4, 4, 1)))


def test_changes_are_those_of_all_views():
    layer = views.preset("dino", 32, num_local_crops=2, blur_probability=0.0, scale=(0.5, 1.0), hue=0.0)
    assert all(view.blur_probability == 0 and view.hue == 0 for view in single_views(layer))
    assert [view.scale for view in single_views(layer)] == [(0.5, 1.0)] * 2 + [(0.05, 0.4)] * 2
    layer = views.preset("dino", 32, num_local_crops=1, local_scale=(0.1, 0.2), local_size=(8, 12))
    assert layer.local_crops[0].scale == (0.1, 0.2) and layer.local_crops[0].size == (8, 12)
    layer = views.preset("dino", 32, num_global_crops=3, num_local_crops=0)
    assert [view.solarize_probability for view in layer.global_crops] == [0, 0, 0.2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: views.preset("byol", 32, num_local_crops=3), "no setting 'num_local_crops'. Known: scale"),
        (lambda: views.preset("dino", 32, blur=3), "no setting 'blur'. Known: num_local_crops"),
        (lambda: views.preset("mae", 32), "Masked views need num_patches"),
        (lambda: views.preset("dino", 0), "size must be a positive integer or a pair"),
        (lambda: views.preset("dino", 32, value_range=(1, 0)), "value_range must be a pair .*got"),
        (lambda: views.preset(3, 32), "Unknown preset 3; did you mean"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_gallery_shows_masks_that_are_not_square(tmp_path):
    image = pytest.importorskip("PIL.Image")
    layer = views.preset("mae", (16, 24), num_patches=6)
    path = views.gallery(photos(2, 16, 24, 3), layer, tmp_path / "views.png")
    with image.open(path) as picture:
        assert (np.asarray(picture) == 128).all(-1).sum() > 2 * 8 * 8
