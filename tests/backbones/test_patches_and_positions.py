import keras
import numpy as np
import pytest

from kerassl.backbones import (
    patch_grid,
    patchify,
    resize_positions,
    sincos_positions,
    take_patches,
    unpatchify,
)

_numpy = keras.ops.convert_to_numpy


def _images(height=6, width=9, channels=2):
    return np.arange(2 * height * width * channels, dtype="float32").reshape(2, height, width, channels)


def test_patches_go_row_by_row_with_inner_order_row_column_channel():
    images, p = _images(), 3
    patches = _numpy(patchify(images, p))
    assert patches.shape == (2, 6, 18)
    for b in range(2):
        for index in range(6):
            r, c = divmod(index, 3)
            for value in range(18):
                y, rest = divmod(value, p * 2)
                x, channel = divmod(rest, 2)
                assert patches[b, index, value] == images[b, r * p + y, c * p + x, channel]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_unpatchify_inverts_patchify(channels):
    images = _images(channels=channels)
    back = unpatchify(patchify(images, 3), 3, (2, 3), channels)
    np.testing.assert_array_equal(_numpy(back), images)


def test_patches_are_taken_image_by_image():
    patches = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
    chosen = np.array([[5, 0], [1, 1], [2, 4]])
    expected = np.stack([patches[i, row] for i, row in enumerate(chosen)])
    taken = _numpy(take_patches(patches, chosen))
    np.testing.assert_array_equal(taken, expected)


def test_indivisible_size_is_explained():
    with pytest.raises(
        ValueError, match=r"Images of 30x32 .* patches of 8x8: .* such as 32x32, or take another"
    ):
        patch_grid((30, 32), 8)


def test_unknown_size_is_explained():
    with pytest.raises(ValueError, match="known size, not height None"):
        patch_grid((None, 32), 8)


def test_sincos_positions_equal_the_definition():
    dim, rows, columns = 8, 2, 3
    got = sincos_positions(dim, (rows, columns))
    assert got.shape == (6, 8) and got.dtype == np.float32
    for r in range(rows):
        for c in range(columns):
            expected = []
            for p in (c, r):
                w = [1 / 10000 ** (i / (dim / 4)) for i in range(dim // 4)]
                expected += [np.sin(p * x) for x in w] + [np.cos(p * x) for x in w]
            np.testing.assert_allclose(got[r * columns + c], expected, atol=1e-6)


def test_sincos_positions_of_a_smaller_grid_lie_at_the_centres_of_the_merged_patches():
    # Two native columns per new one: the centres are 0.5 and 2.5.
    got = sincos_positions(4, (1, 2), native_grid=(1, 4))
    np.testing.assert_allclose(got[:, 0], np.sin([0.5, 2.5]), atol=1e-6)
    np.testing.assert_array_equal(sincos_positions(4, (3, 4), (3, 4)), sincos_positions(4, (3, 4)))


def test_sincos_positions_need_a_multiple_of_four():
    with pytest.raises(ValueError, match="multiple of 4, not 6"):
        sincos_positions(6, (2, 2))


def test_resize_is_the_identity_at_the_same_grid():
    positions = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    assert resize_positions(positions, (2, 3), (2, 3)) is positions


def _cubic(d, a=-0.75):
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


@pytest.mark.parametrize("new_grid", [(2, 2), (5, 7), (8, 3)])
def test_resize_equals_a_bicubic_loop(new_grid):
    grid = (4, 3)
    table = np.random.default_rng(0).normal(size=(*grid, 2)).astype("float32")
    got = _numpy(resize_positions(keras.ops.convert_to_tensor(table.reshape(12, 2)), grid, new_grid))
    expected = np.zeros((*new_grid, 2))
    for i in range(new_grid[0]):
        for j in range(new_grid[1]):
            y = (i + 0.5) * grid[0] / new_grid[0] - 0.5
            x = (j + 0.5) * grid[1] / new_grid[1] - 0.5
            for u in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
                for v in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                    value = table[min(max(u, 0), grid[0] - 1), min(max(v, 0), grid[1] - 1)]
                    expected[i, j] += _cubic(y - u) * _cubic(x - v) * value
    np.testing.assert_allclose(got.reshape(*new_grid, 2), expected, atol=1e-5)


def test_resize_keeps_constants():
    got = resize_positions(keras.ops.ones((16, 3)), (4, 4), (7, 5))
    np.testing.assert_allclose(_numpy(got), 1.0, atol=1e-6)
