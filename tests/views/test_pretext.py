import numpy as np
import pytest
from keras import ops

from kerassl.views import distant_permutations, nine_pieces, quarter_turns


def images(height=12, width=12, batch=2):
    return np.random.default_rng(0).uniform(size=(batch, height, width, 3)).astype("float32")


def test_quarter_turns_are_clockwise():
    x = images()
    turned = ops.convert_to_numpy(quarter_turns(x))
    for turn in range(4):
        np.testing.assert_array_equal(turned[:, turn], np.rot90(x, -turn, axes=(1, 2)))
    with pytest.raises(ValueError, match=r"Only square images .*\(2, 12, 9, 3\)"):
        quarter_turns(images(width=9))


def test_pieces_are_thirds_that_see_nothing_of_each_other():
    x = images(12, 9)
    pieces = ops.convert_to_numpy(nine_pieces(x))
    assert pieces.shape == (2, 9, 12, 9, 3)
    for place in range(9):
        row, column = divmod(place, 3)
        third = x[:, 4 * row : 4 * row + 4, 3 * column : 3 * column + 3]
        # Corners are the corners' own, and a piece of one color stays so.
        np.testing.assert_allclose(pieces[:, place, 0, 0], third[:, 0, 0], atol=1e-5)
        np.testing.assert_allclose(pieces[:, place, -1, -1], third[:, -1, -1], atol=1e-5)
        flat = np.zeros_like(x)
        flat[:, 4 * row : 4 * row + 4, 3 * column : 3 * column + 3] = 1
        colored = ops.convert_to_numpy(nine_pieces(flat))
        np.testing.assert_allclose(colored[:, place], 1, atol=1e-6)
        np.testing.assert_allclose(np.delete(colored, place, axis=1), 0, atol=1e-6)
    with pytest.raises(ValueError, match="cannot be cut into 3 x 3"):
        nine_pieces(images(2))


def test_permutations_agree_in_one_place_at_most():
    orders = distant_permutations(72)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(9), (72, 1)))
    np.testing.assert_array_equal(orders[0], np.arange(9))
    agreements = (orders[:, None] == orders[None]).sum(axis=-1) - 9 * np.eye(72, dtype=int)
    assert agreements.max() == 1
    np.testing.assert_array_equal(distant_permutations(35), orders[:35])
    with pytest.raises(ValueError, match="There are 72 permutations .* not 73"):
        distant_permutations(73)
