"""Who is matched in VICRegL, and what its local loss is in closed form."""

import numpy as np
import pytest
from keras import ops
from loss_helpers import fast, maps_and_centers, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

local, matched = fast(losses.vicregl_local), fast(losses.matched_cells)
GRID = np.stack(np.meshgrid([1.0, 3.0], [1.0, 3.0, 5.0], indexing="ij"), axis=-1).reshape(1, 6, 2)


def maps(seed=0, batch=4, cells=6, dim=3):
    return np.random.default_rng(seed).normal(size=(2, batch, cells, dim)).astype("float32")


def numpy(pairs):
    return [[ops.convert_to_numpy(side) for side in pair] for pair in pairs]


def test_collapse_costs_the_variance_weight_once_for_each_way_to_match():
    ones, places = np.ones((8, 6, 4)), np.repeat(GRID, 8, 0)
    assert float(local(ones, ones, places, places)) == pytest.approx(2 * 24.75, rel=1e-6)


def test_equal_views_match_themselves():
    a, places = maps()[0], np.repeat(GRID, 4, 0)
    for x, y in numpy(matched(a, a, places, places)):
        np.testing.assert_array_equal(x, a)
        np.testing.assert_array_equal(y, a)
    assert float(local(a, a, places, places, variance=0.0, covariance=0.0)) == 0


def test_a_mirrored_view_matches_by_place_what_lies_across():
    a, b = maps()
    places = np.repeat(GRID, 4, 0)
    mirrored = places.reshape(4, 2, 3, 2)[:, :, ::-1].reshape(4, 6, 2)
    (x, y), (back_x, back_y) = numpy(matched(a, b, places, mirrored))[2:]
    np.testing.assert_array_equal(x, a)
    np.testing.assert_array_equal(y, b.reshape(4, 2, 3, 3)[:, :, ::-1].reshape(4, 6, 3))
    np.testing.assert_array_equal(back_x, b)
    np.testing.assert_array_equal(back_y, a.reshape(4, 2, 3, 3)[:, :, ::-1].reshape(4, 6, 3))


def test_the_nearest_places_are_kept_in_the_maps_order_for_each_image():
    a, b = maps(batch=2)
    places = np.repeat(GRID, 2, 0)
    # Cells move by 0.01 times these numbers, so that they stay nearest to themselves.
    moved = places + 0.01 * np.array([[5, 1, 4, 2, 3, 0], [0, 6, 1, 6, 6, 6]])[..., None]
    x, y = numpy(matched(a, b, places, moved, num_matches=2))[2]
    np.testing.assert_array_equal(x, [a[0, [1, 5]], a[1, [0, 2]]])
    np.testing.assert_array_equal(y, [b[0, [1, 5]], b[1, [0, 2]]])


def test_features_match_whatever_the_place_and_both_sides_get_a_gradient():
    inputs = [x.astype("float32") for x in maps_and_centers(np.random.default_rng(0), 4)]
    a, b = inputs[:2]
    by_features = numpy(matched(*inputs))[0][1]
    for i in range(4):
        nearest = [np.argmin(np.sum((b[i] - cell) ** 2, axis=-1)) for cell in a[i]]
        np.testing.assert_array_equal(by_features[i], b[i, nearest])
    _, grads = value_and_grad(losses.vicregl_local, *inputs)
    assert np.abs(grads[0]).max() > 1e-3 and np.abs(grads[1]).max() > 1e-3
    assert not grads[2].any() and not grads[3].any()


def test_terms_of_cells_are_the_mean_over_the_cells():
    z = maps(batch=6)[0]
    for term in (losses.variance_hinge, losses.off_diagonal_covariance):
        each = [float(fast(term)(z[:, cell])) for cell in range(6)]
        assert float(fast(term)(z)) == pytest.approx(np.mean(each), rel=1e-5)


def test_bad_arguments():
    a, b = maps()
    places = np.repeat(GRID, 4, 0)
    with pytest.raises(ValueError, match="num_matches must be at least 1, got 0"):
        losses.matched_cells(a, b, places, places, num_matches=0)
    with pytest.raises(ValueError, match=r"centers1\[..., 0\] has shape \(4, 5\) but maps1"):
        losses.matched_cells(a, b, places[:, :5], places[:, :5])
