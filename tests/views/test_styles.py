"""Batch Styles Standardization: amplitudes of one image, phases of each."""

import keras
import numpy as np
import pytest
from compiled_on_jax import compiled_on_jax

from kerassl.engine import StepSeed
from kerassl.views import BatchStyles, FusedAugmentation, TwoViews
from kerassl.views.image.styles import with_amplitudes_of

SIZES = pytest.mark.parametrize("shape", [(3, 8, 8, 2), (3, 9, 7, 1)])


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def pictures(shape, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 0.8, shape).astype("float32")


def mixed(images, donor, *ratios):
    return numpy(compiled_on_jax(lambda *both: with_amplitudes_of(*both, *ratios))(images, donor))


def window(size, ratio):
    return np.abs(np.fft.fftfreq(size) * size) < ratio * size / 2


def by_fft(images, donor, ratio):
    """The same, through NumPy's transform of the whole image."""
    spectrum, donated = (np.fft.fft2(x.astype("float64"), axes=(1, 2)) for x in (images, donor))
    low = np.outer(window(images.shape[1], ratio), window(images.shape[2], ratio))[None, :, :, None]
    amplitude = np.where(low, np.abs(donated), np.abs(spectrum))
    return np.fft.ifft2(amplitude * np.exp(1j * np.angle(spectrum)), axes=(1, 2))


@SIZES
@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_amplitudes_are_the_donors_within_the_window(shape, ratio):
    images = pictures(shape)
    expected = by_fft(images, images[1:2], ratio)
    np.testing.assert_allclose(expected.imag, 0, atol=1e-9)
    found = mixed(images, images[1:2], ratio)
    np.testing.assert_allclose(found, expected.real, atol=2e-5)
    np.testing.assert_allclose(found[1], images[1], atol=2e-5)
    assert np.abs(found[0] - images[0]).max() > 1e-3
    # The window may be larger than what is kept of it.
    np.testing.assert_allclose(
        mixed(images, images[1:2], ratio / 2),
        mixed(images, images[1:2], ratio / 2, ratio),
        atol=1e-5,
    )


@SIZES
def test_a_ratio_of_zero_and_a_batch_of_one_image_change_nothing(shape):
    images = pictures(shape)
    np.testing.assert_array_equal(mixed(images, images[1:2], 0.0), images)
    same = np.repeat(images[:1], 4, axis=0)
    np.testing.assert_allclose(mixed(same, same[:1], 1.0), same, atol=2e-5)


def test_an_image_without_contrast_takes_the_donors_mean():
    images = np.stack([np.zeros((8, 8, 1)), np.full((8, 8, 1), 0.7)]).astype("float32")
    np.testing.assert_allclose(mixed(images, images[1:], 1.0), 0.7, atol=1e-5)


def test_two_views_have_two_styles_and_a_view_has_one():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype("uint8")
    plain = FusedAugmentation(8, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, mean=0.4, std=0.3)
    views = TwoViews(BatchStyles(plain, ratio=(0.2, 0.2)))
    made = [numpy(view) * 0.3 + 0.4 for view in views(images, seed=StepSeed(0, 3))]
    means = [view.mean(axis=(1, 2)) for view in made]
    for mean in means:
        np.testing.assert_allclose(mean, np.repeat(mean[:1], 6, axis=0), atol=0.02)
    styles = [StepSeed(0, step) for step in range(6)]
    drawn = [numpy(views(images, seed=seed)[1]).mean() for seed in styles]
    assert len({round(float(d), 4) for d in drawn}) > 1
    assert np.abs(made[0] - made[1]).max() > 1e-3 or np.abs(means[0] - means[1]).max() == 0


def test_pixels_stay_in_range_and_the_layer_is_saved():
    images = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3)).astype("uint8")
    layer = BatchStyles(FusedAugmentation(16, mean=0.5, std=0.25), ratio=(0.0, 1.0))
    made = numpy(layer(images, seed=StepSeed(1, 0)))
    assert made.shape == (4, 16, 16, 3) and made.min() >= -2 - 1e-5 and made.max() <= 2 + 1e-5
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_allclose(numpy(loaded(images, seed=StepSeed(1, 0))), made, atol=1e-6)


def test_bad_arguments():
    with pytest.raises(
        ValueError, match=r"ratio must be a pair \(a, b\) with 0 <= a <= b <= 1; got \(0.5, 2\)"
    ):
        BatchStyles(FusedAugmentation(8), ratio=(0.5, 2))
    with pytest.raises(
        ValueError, match="view must be a layer like kerassl.views.FusedAugmentation; got a Rescaling"
    ):
        BatchStyles(keras.layers.Rescaling(1 / 255))
