"""Large images are resampled by bands of the matrices that small ones are: the same numbers."""

import numpy as np
import pytest
from compiled_on_jax import compiled_on_jax
from keras import ops

from kerassl.views.image.blur import Blur, blur_matrix
from kerassl.views.image.crop import Crop, crop_and_resize, crop_matrices
from kerassl.views.image.resample import pays_in_bands, resample, tiles, to_scanlines, window_size


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("side", "size", "kernel_size"),
    [(112, 112, None), (160, 96, 0), (96, 130, 0), (240, 80, 0), (112, 100, 9), (150, (90, 130), None)],
)
def test_bands_equal_the_matrices(side, size, kernel_size, interpolation):
    size = size if isinstance(size, tuple) else (size, size)
    rng = np.random.default_rng(0)
    images = ops.convert_to_tensor(rng.integers(0, 256, (5, side, side, 3), dtype="uint8"))
    height, width = (rng.uniform(0.01, 1, (2, 5)) * side).astype("float32")
    # The whole image, and less than a pixel.
    height[0] = width[0] = side
    height[1] = 0.3
    place = rng.uniform(size=(2, 5)).astype("float32")
    box = (place[0] * (side - height), place[1] * (side - width), height, width)
    crop = Crop(*map(ops.convert_to_tensor, box), ops.convert_to_tensor(np.arange(5) % 2 == 0))
    blur = None
    if kernel_size != 0:
        sigma = ops.convert_to_tensor(rng.uniform(0.1, 2, 5).astype("float32"))
        blur = Blur(sigma, ops.convert_to_tensor(np.arange(5) != 3), kernel_size)
    assert all(pays_in_bands(side, n, interpolation, 4 if blur else 0) for n in size)

    def both(images):
        rows, columns = crop_matrices(crop, images, size, interpolation)
        if blur:
            rows = ops.matmul(blur_matrix(blur, size[0]), rows)
            columns = ops.matmul(blur_matrix(blur, size[1]), columns)
        by_matrices = resample(to_scanlines(images), rows, columns)
        return crop_and_resize(crop, images, size, interpolation, blur), by_matrices

    found, expected = compiled_on_jax(both)(images)
    assert tuple(found.shape) == (5, size[0], 3, size[1])
    np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(expected), atol=1e-3)


def test_bands_are_for_what_is_large_and_known():
    assert pays_in_bands(224, 224, "bicubic", margin=11) and pays_in_bands(96, 96, "bilinear")
    assert not pays_in_bands(32, 32, "bilinear") and not pays_in_bands(512, 32, "bicubic")
    assert not pays_in_bands(None, 224, "bilinear")


def test_tiles_cover_the_output_and_their_margins():
    assert tiles(70).tolist()[2][:7] == [64, 65, 66, 67, 68, 69, 69]
    wide = tiles(70, margin=3)
    assert wide.shape == (3, 38)
    assert wide[0, 0] == 0 and wide[1, 0] == 29 and wide[2, -1] == 69
    assert tiles(20, margin=3).tolist() == [list(range(20))]
    assert window_size(20, 20, "bicubic") == 20
