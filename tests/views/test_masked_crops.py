"""Block-wise masks: their counts, their shares, that they are blocks, and the crops that they come with."""

import json

import keras
import numpy as np
import pytest
from compiled_on_jax import compiled_on_jax
from keras import ops

from kerassl import views
from kerassl.engine import StepSeed


def masks_of(counts, grid, seed=0):
    counts = ops.convert_to_tensor(np.asarray(counts, "int32"))
    made = compiled_on_jax(lambda counts: views.block_masks(counts, grid, StepSeed(seed, 0)))(counts)
    return ops.convert_to_numpy(made)


def pairs(masks, grid):
    """Neighbors of which both are masked, on average."""
    m = masks.reshape(-1, *grid)
    return (m[:, 1:] & m[:, :-1]).sum() / len(m) + (m[:, :, 1:] & m[:, :, :-1]).sum() / len(m)


@pytest.mark.parametrize("grid", [(4, 4), (8, 8), (6, 3), (1, 5)])
def test_each_mask_has_its_count(grid):
    size = grid[0] * grid[1]
    counts = np.arange(200) % (size + 1)
    masks = masks_of(counts, grid)
    assert masks.shape == (200, size) and masks.dtype == bool
    np.testing.assert_array_equal(masks.sum(axis=1), counts)


@pytest.mark.parametrize("share", (0.1, 0.3, 0.5))
def test_masked_patches_are_neighbors(share):
    grid = (14, 14)
    masks = masks_of(np.full(500, int(196 * share)), grid)
    scattered = np.random.default_rng(0).permuted(masks, axis=1)
    assert pairs(masks, grid) > 1.6 * pairs(scattered, grid)
    assert masks.mean(axis=0).min() > 0
    assert len(np.unique(masks, axis=0)) > 400


def test_half_of_the_crops_are_masked_by_a_tenth_to_a_half():
    layer = views.MaskedCrops(views.TwoViews(views.FusedAugmentation(32)), (8, 8))
    images = np.zeros((600, 2, 2, 3), "uint8")
    view1, view2, *masks = compiled_on_jax(lambda x: layer(x, seed=StepSeed(0, 0)))(images)
    assert view1.shape == view2.shape == (600, 32, 32, 3)
    first, second = (ops.convert_to_numpy(mask).sum(axis=1) for mask in masks)
    counts = np.concatenate([first, second])
    assert np.mean(counts == 0) == pytest.approx(0.5, abs=0.06)
    masked = counts[counts > 0]
    assert masked.min() >= 6 and masked.max() < 32
    assert masked.mean() / 64 == pytest.approx(0.3, abs=0.02)
    assert np.quantile(masked, 0.25) / 64 == pytest.approx(0.2, abs=0.03)
    # The crops of an image are masked by themselves.
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


def test_local_crops_get_no_mask():
    crops = views.MultiCrop([views.FusedAugmentation(16)] * 2, [views.FusedAugmentation(8)] * 3)
    layer = views.MaskedCrops(crops, (4, 4), mask_probability=1.0, mask_ratio=(0.5, 0.5))
    made = compiled_on_jax(lambda x: layer(x, seed=StepSeed(0, 0)))(np.zeros((2, 20, 20, 3), "uint8"))
    assert [tuple(view.shape[1:]) for view in made] == [(16, 16, 3)] * 2 + [(8, 8, 3)] * 3 + [(16,)] * 2
    assert all((ops.convert_to_numpy(mask).sum(axis=1) == 8).all() for mask in made[5:])
    assert layer.num_views == 5 and layer.preprocess is crops.preprocess


def test_config_round_trip():
    layer = views.MaskedCrops(views.TwoViews(views.FusedAugmentation(12)), (3, 3), 1, 0.25, (0.2, 0.3))
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert json.dumps(keras.saving.serialize_keras_object(copy)) == json.dumps(config)


def test_bad_arguments():
    two = views.TwoViews(views.FusedAugmentation(8))
    with pytest.raises(ValueError, match="num_global_crops=3 crops cannot be masked: TwoViews makes 2"):
        views.MaskedCrops(two, (2, 2), num_global_crops=3)
    with pytest.raises(ValueError, match="mask_ratio must be a pair"):
        views.MaskedCrops(two, (2, 2), mask_ratio=(0.0, 0.5))
    with pytest.raises(ValueError, match=r"mask_probability must lie in \[0, 1\]"):
        views.MaskedCrops(two, (2, 2), mask_probability=2)


def test_gallery_hides_the_masked_patches(tmp_path):
    image = pytest.importorskip("PIL.Image")
    layer = views.MaskedCrops(
        views.TwoViews(views.FusedAugmentation(16)), (4, 4), mask_probability=1.0, mask_ratio=(0.5, 0.5)
    )
    path = views.gallery(np.full((2, 16, 16, 3), 255, "uint8"), layer, tmp_path / "views.png")
    with image.open(path) as picture:
        pixels = np.asarray(picture)
    # Two views of two images, 8 patches of 4 x 4 pixels hidden in each, at a zoom of 4.
    assert (pixels == 128).all(axis=-1).sum() == 2 * 2 * 8 * 16 * 16
