"""The scattering transform against a loop over paths with NumPy's Fourier transform, and its properties."""

import keras
import numpy as np
import pytest
from compiled_on_jax import compiled_on_jax

from kerassl.backbones import Scattering, scatnet


def scatter(images, num_scales, num_orientations):
    layer = Scattering(num_scales, num_orientations)
    return keras.ops.convert_to_numpy(compiled_on_jax(layer)(images.astype("float32"))), layer


def images(height, width, channels=1, batch=2, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, height, width, channels))


def gaussian(shape, angle, sigma, slant, frequency):
    """A periodic Gaussian times a wave, both in the direction of `angle`; rows are the first axis."""
    total = np.zeros(shape, complex)
    for shift in np.ndindex(5, 5):
        u = [np.arange(n) + (s - 2) * n for n, s in zip(shape, shift, strict=True)]
        rows, columns = np.meshgrid(*u, indexing="ij")
        along = rows * np.cos(angle) + columns * np.sin(angle)
        across = -rows * np.sin(angle) + columns * np.cos(angle)
        total += np.exp(-(along**2 + slant**2 * across**2) / (2 * sigma**2) + 1j * frequency * along)
    return total * slant / (2 * np.pi * sigma**2)


def keep_low(spectrum, level):
    """Sets to zero what pixels 2^level apart cannot tell, then folds the spectrum to theirs."""
    height, width = (n >> level for n in spectrum.shape)
    rows, columns = (np.r_[0 : n // 2, -(n - n // 2) : 0] for n in (height, width))
    return spectrum[np.ix_(rows, columns)] if level else spectrum


def reference(image, num_scales, num_orientations):
    """Coefficients `(paths, rows, columns)` of one image."""
    step = 2**num_scales
    padded = [((n + step) // step + 1) * step for n in image.shape]
    before = [(p - n) // 2 for p, n in zip(padded, image.shape, strict=True)]
    pads = [(b, p - n - b) for b, p, n in zip(before, padded, image.shape, strict=True)]
    x = np.pad(image, pads, mode="reflect")
    phi = np.fft.fft2(gaussian(padded, 0.0, 0.8 * 2 ** (num_scales - 1), 1.0, 0.0))
    psi = {}
    for j, t in np.ndindex(num_scales, num_orientations):
        angle = (int(num_orientations / 2 - 1) - t) * np.pi / num_orientations
        shape = angle, 0.8 * 2**j, 4 / num_orientations
        wave, envelope = gaussian(padded, *shape, 0.75 * np.pi / 2**j), gaussian(padded, *shape, 0.0)
        psi[j, t] = np.fft.fft2(wave - wave.sum() / envelope.sum() * envelope)

    def convolve(u, spectrum, level, new_level):
        every = 2 ** (new_level - level)
        return np.fft.ifft2(np.fft.fft2(u) * keep_low(spectrum, level))[::every, ::every]

    def average(u, level):
        return convolve(u, phi, level, num_scales).real[1:-1, 1:-1]

    first, second = [average(x, 0)], []
    for (j, _), wavelet in psi.items():
        u1 = np.abs(convolve(x, wavelet, 0, j))
        first.append(average(u1, j))
        for (later, _), other in psi.items():
            if later > j:
                second.append(average(np.abs(convolve(u1, other, j, later)), later))
    return np.array(first + second)


@pytest.mark.parametrize(
    ("size", "num_scales", "num_orientations"), [((12, 16), 2, 4), ((11, 9), 1, 3), ((16, 24), 3, 2)]
)
def test_coefficients_are_those_of_the_loop_over_paths(size, num_scales, num_orientations):
    x = images(*size, channels=2)
    got, layer = scatter(x, num_scales, num_orientations)
    assert got.shape[1:3] == tuple(n // 2**num_scales for n in size)
    assert got.shape == layer.compute_output_shape(x.shape)
    for b, c in np.ndindex(2, 2):
        expected = reference(x[b, :, :, c], num_scales, num_orientations)
        own = got[b, :, :, c * layer.num_paths : (c + 1) * layer.num_paths]
        np.testing.assert_allclose(own.transpose(2, 0, 1), expected, atol=2e-6)


def test_number_of_paths():
    assert Scattering(2, 16).num_paths == 289
    assert Scattering(2, 16).compute_output_shape((None, 96, 96, 3)) == (None, 24, 24, 867)
    assert [Scattering(j, 8).num_paths for j in (1, 3, 4)] == [9, 217, 417]


def test_zero_gives_zero_and_a_constant_only_its_mean():
    zero, _ = scatter(np.zeros((1, 16, 16, 1)), 2, 4)
    assert not zero.any()
    one, _ = scatter(np.full((1, 16, 16, 1), 3.0), 2, 4)
    np.testing.assert_allclose(one[..., 0], 3.0, rtol=2e-3)
    np.testing.assert_allclose(one[..., 1:], 0, atol=1e-5)


def test_a_shift_by_whole_places_shifts_the_coefficients():
    x = np.zeros((1, 32, 32, 1))
    x[:, 12:16, 13:15] = images(4, 2, batch=1)
    shifted = np.roll(x, (4, -4), axis=(1, 2))
    got, moved = (scatter(v, 2, 2)[0][0] for v in (x, shifted))
    np.testing.assert_allclose(moved, np.roll(got, (1, -1), axis=(0, 1)), atol=1e-5)
    assert np.abs(got).max() > 0.05


def test_a_wave_is_answered_by_its_own_orientation():
    rows = np.arange(64)[:, None] + np.zeros((1, 64))
    wave = np.cos(0.75 * np.pi * rows)[None, :, :, None]
    got, layer = scatter(wave, 2, 4)
    middle = got[0, 8, 8, 1:9]
    # Angle 0, along the rows, is orientation L / 2 - 1; scale 0 has its frequency.
    assert int(np.argmax(middle)) == 1


def test_the_gradient_is_finite_where_moduli_vanish_and_float32_under_a_low_policy():
    from_bfloat16 = Scattering(1, 2)(keras.ops.ones((1, 8, 8, 1), dtype="bfloat16"))
    assert keras.backend.standardize_dtype(from_bfloat16.dtype) == "float32"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.zeros((1, 8, 8, 1))
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(Scattering(2, 2)(x))
        assert np.isfinite(tape.gradient(total, x)).all()


def test_network():
    model = scatnet((16, 12, 2), num_orientations=2, width=8, name="small")
    assert model.output_shape == (None, 4 * 3 * 8)
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    x = images(16, 12, 2).astype("float32")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(copy(x)), keras.ops.convert_to_numpy(model(x)))
    assert scatnet((16, 16, 1), num_orientations=2, width=8).output_shape == (None, 128)
    convolutions = [layer for layer in model.layers if layer.name.endswith(("conv1", "conv2"))]
    assert len([layer for layer in convolutions if "shortcut" not in layer.name]) == 16


def test_bad_arguments_of_scattering():
    with pytest.raises(ValueError, match="num_scales must be >= 1, got 0"):
        Scattering(0, 8)
    with pytest.raises(ValueError, match="more than 4 pixels along each axis; got 4"):
        scatnet((16, 4, 3), num_orientations=2)
    with pytest.raises(ValueError, match=r"num_blocks must be 8, 12, 16, 30 or 45, got 9"):
        scatnet((16, 16, 3), num_blocks=9)
    with pytest.raises(ValueError, match="width must be a multiple of 4; got 6"):
        scatnet((16, 16, 3), width=6)
