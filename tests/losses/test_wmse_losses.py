"""Closed forms and invariances of W-MSE and of Cholesky whitening."""

import numpy as np
import pytest
from keras import ops
from loss_helpers import fast, value_and_grad, wmse_reference

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

wmse, whiten = fast(losses.wmse), fast(losses.whiten)


def views(seed=0, num_views=2, batch=32, dim=4):
    return np.random.default_rng(seed).normal(size=(num_views, batch, dim)).astype("float32")


def test_whitened_rows_have_the_identity_as_unbiased_covariance():
    z = views()[0] @ np.random.default_rng(1).normal(size=(4, 4)).astype("float32")
    white = ops.convert_to_numpy(whiten(z, epsilon=1e-7))
    np.testing.assert_allclose(np.cov(white.T), np.eye(4), atol=1e-4)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-6)
    groups = ops.convert_to_numpy(whiten(np.stack([z, views()[1]]), epsilon=1e-7))
    np.testing.assert_allclose(groups[0], white, rtol=1e-4, atol=1e-5)


def test_a_dimension_that_does_not_vary_stays_zero():
    z = views()[0]
    z[:, 2] = 7.0
    white, (grad,) = value_and_grad(losses.whiten, z)
    assert not white[:, 2].any() and np.isfinite(grad).all()
    rest = ops.convert_to_numpy(whiten(np.delete(z, 2, axis=1)))
    np.testing.assert_allclose(np.delete(white, 2, axis=1), rest, atol=1e-5)


def test_fewer_images_than_dimensions_stay_finite():
    value, grads = value_and_grad(losses.wmse, views(batch=3, dim=64))
    assert 0 <= value <= 4 and np.isfinite(grads[0]).all()


def test_identical_views_have_no_distance_and_collapsed_ones_two():
    a, _ = views()
    assert float(wmse(np.stack([a, a]))) == pytest.approx(0, abs=1e-5)
    assert float(wmse(np.ones((2, 8, 4)))) == pytest.approx(2, abs=1e-6)


def test_a_lower_triangular_map_of_a_view_changes_nothing_and_a_rotation_does():
    z = views()
    expected = float(wmse(z))
    lower = np.tril(np.random.default_rng(2).uniform(0.5, 2.0, (4, 4)))
    assert float(wmse(np.stack([z[0], z[1] @ lower.T + 3]))) == pytest.approx(expected, rel=1e-3)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    assert abs(float(wmse(np.stack([z[0], z[1] @ rotation]))) - expected) > 1e-2


def test_sub_batches_are_whitened_each_by_itself_in_the_order_given():
    z = views()
    order = np.random.default_rng(4).permutation(32)
    each = ops.convert_to_numpy(losses.wmse(z, 16, order, reduction="none"))
    halves = [z[:, order[:16]], z[:, order[16:]]]
    expected = [wmse_reference(*half.astype("float64")) for half in halves]
    assert each.shape == (32,)
    assert each[order[:16]].mean() == pytest.approx(expected[0], rel=1e-4)
    assert each[order[16:]].mean() == pytest.approx(expected[1], rel=1e-4)
    assert float(losses.wmse(z, 16, order)) == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_batch_that_is_not_a_multiple_begins_again():
    z = views(batch=19)
    # Two sub-batches of ten, of which the second takes the first image once more.
    rows = [np.arange(10), np.array([*range(10, 19), 0])]
    first, second = (ops.convert_to_numpy(losses.wmse(z[:, r], reduction="none")) for r in rows)
    each = ops.convert_to_numpy(losses.wmse(z, 8, reduction="none"))
    np.testing.assert_allclose(each, [*first, *second[:9]], rtol=1e-4, atol=1e-5)
    # Fewer than a sub-batch are one.
    assert float(losses.wmse(z, 64)) == pytest.approx(float(losses.wmse(z)), rel=1e-6)


def test_more_views_are_the_mean_over_pairs():
    z = views(num_views=3)
    pairs = [float(wmse(z[list(pair)])) for pair in ((0, 1), (0, 2), (1, 2))]
    assert float(wmse(z)) == pytest.approx(np.mean(pairs), rel=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"views has shape \(1, 32, 4\); at least two views"):
        losses.wmse(views(num_views=1))
    with pytest.raises(ValueError, match="epsilon=0 must be a positive finite number"):
        losses.whiten(views()[0], epsilon=0)
