import keras
import numpy as np
import pytest

import kerassl
from kerassl.views import LowFrequency, preset
from kerassl.views.image.low_frequency import low_frequencies


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def images(n=4, size=16, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, size, size, 3)).astype("float32")


@pytest.mark.parametrize("size", ((5, 5), (9, 7), (15, 11)))
def test_an_odd_block_is_the_inverse_transform_of_the_cropped_spectrum(size):
    x = images()
    spectrum = np.fft.fftshift(np.fft.fft2(x.astype("float64"), axes=(1, 2)), axes=(1, 2))
    top, left = (8 - s // 2 for s in size)
    block = spectrum[:, top : top + size[0], left : left + size[1]]
    small = np.fft.ifft2(np.fft.ifftshift(block, axes=(1, 2)), axes=(1, 2)) * size[0] * size[1] / 16**2
    assert np.abs(small.imag).max() < 1e-12
    np.testing.assert_allclose(numpy(low_frequencies(x, size)), small.real, atol=1e-5)


@pytest.mark.parametrize("size", ((8, 8), (12, 6), (16, 10)))
def test_means_are_kept_and_constants_stay(size):
    x = images()
    small = numpy(low_frequencies(x, size))
    assert small.shape == (4, *size, 3)
    np.testing.assert_allclose(small.mean(axis=(1, 2)), x.mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(numpy(low_frequencies(np.full_like(x, 0.4), size)), 0.4, atol=1e-5)


def test_the_full_size_changes_nothing():
    np.testing.assert_array_equal(numpy(low_frequencies(images(), (16, 16))), images())


def test_a_slow_wave_is_sampled():
    place = np.arange(16) / 16
    wave = np.cos(2 * np.pi * (2 * place[:, None] + place[None]))[None, :, :, None]
    there = np.arange(8) / 8
    expected = np.cos(2 * np.pi * (2 * there[:, None] + there[None]))
    np.testing.assert_allclose(numpy(low_frequencies(wave, (8, 8)))[0, :, :, 0], expected, atol=1e-5)


def test_crops_shrink_in_proportion_to_multiples():
    crops = preset("dino", 32, num_local_crops=2, local_size=16)
    for size, multiple, expected in (
        (24, 1, (24, 12)),
        (22, 8, (24, 8)),
        (32, 8, (32, 16)),
        (40, 1, (32, 16)),
    ):
        made = LowFrequency(crops, size, multiple)(images(2, 32) * 255)
        assert [view.shape[1] for view in made] == [expected[0]] * 2 + [expected[1]] * 2


def test_the_views_are_those_of_the_layer_inside():
    inside = preset("simclr_cifar", 16)
    seed = lambda: kerassl.engine.StepSeed(0, 3)  # noqa: E731
    whole = inside(images() * 255, seed=seed())
    small = LowFrequency(inside, 8)(images() * 255, seed=seed())
    for a, b in zip(whole, small, strict=True):
        np.testing.assert_allclose(numpy(low_frequencies(a, (8, 8))), numpy(b), atol=1e-5)


def test_images_grow_by_the_epoch_and_the_layer_is_saved(tmp_path):
    keras.utils.set_random_seed(0)
    encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small")
    views = LowFrequency(preset("simclr_cifar", 16), image_size=8)
    model = kerassl.methods.SimCLR(encoder, views=views, projection_dim=4)
    model.compile(keras.optimizers.SGD(0.1))
    curriculum = kerassl.callbacks.LowFrequencyCurriculum({0: 8, 1: 12, 3: 16})
    sizes, encode = [], model.encode_unpooled
    model.encode_unpooled = lambda encoder, x, training: (
        sizes.append(x.shape[1]) or encode(encoder, x, training)
    )
    history = model.fit(images(8) * 255, batch_size=8, epochs=4, verbose=0, callbacks=[curriculum]).history
    # A compiled step is traced once for each size, an eager one runs through in each epoch.
    assert list(dict.fromkeys(sizes)) == [8, 12, 16]
    assert np.isfinite(history["loss"]).all() and int(numpy(model.clock.step)) == 4
    assert model.predict(images(3) * 255, verbose=0).shape == (3, 4)
    del model.encode_unpooled
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.views.image_size == 16 and isinstance(loaded.views, LowFrequency)


def test_bad_arguments():
    with pytest.raises(ValueError, match="must be at least 1 pixel; got 0 and 1"):
        LowFrequency(preset("simclr_cifar", 16), 0)
    with pytest.raises(ValueError, match="these also hold masks or boxes"):
        LowFrequency(preset("mae", 16, num_patches=16), 8)(images() * 255)
    with pytest.raises(ValueError, match="size of epoch 0; got {1: 8}"):
        kerassl.callbacks.LowFrequencyCurriculum({1: 8})
    encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small")
    model = kerassl.methods.SimCLR(encoder, views="simclr_cifar", projection_dim=4)
    model.compile()
    with pytest.raises(ValueError, match="whose views are a kerassl.views.LowFrequency"):
        model.fit(images(8) * 255, verbose=0, callbacks=[kerassl.callbacks.LowFrequencyCurriculum({0: 8})])
