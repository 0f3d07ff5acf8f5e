"""Closed forms of the losses that look at the second moments of a batch."""

import numpy as np
import pytest
from loss_helpers import fast, value_and_grad

from kerassl import losses
from kerassl.losses.redundancy.mmcr import nuclear_norm

pytestmark = pytest.mark.backends("torch")

attraction, dispersion = fast(losses.centroid_attraction), fast(losses.singular_value_dispersion)
emp_ssl, rate = fast(losses.emp_ssl), fast(losses.total_coding_rate)
frossl, mmcr = fast(losses.frossl), fast(losses.mmcr)
tico, tico_covariance = fast(losses.tico), fast(losses.tico_covariance)


def test_tico_of_collapsed_views_over_two_steps():
    z = np.ones((6, 4), "float32")
    covariance = np.zeros((4, 4), "float32")
    for step, expected in ((1, 0.8), (2, 1.52)):
        covariance = np.asarray(tico_covariance(z, covariance))
        assert np.trace(covariance) == pytest.approx(1 - 0.9**step, rel=1e-5)
        assert float(tico(z, z, covariance)) == pytest.approx(expected, rel=1e-5)


def test_tico_without_memory_contrasts_all_pairs_of_the_batch():
    z = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    covariance = tico_covariance(z, np.zeros((4, 4), "float32"), decay=0.0)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    expected = 8 * np.mean((unit @ unit.T) ** 2)
    assert float(tico(z, z, covariance)) == pytest.approx(expected, rel=1e-5)


def test_the_covariance_of_tico_carries_no_gradient():
    def loss(z):
        return losses.tico(z, z, losses.tico_covariance(z, np.zeros((4, 4)), decay=0.5))

    def with_constant(z):
        return losses.tico(z, z, constant)

    z = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    constant = np.asarray(tico_covariance(z, np.zeros((4, 4), "float32"), decay=0.5))
    np.testing.assert_allclose(value_and_grad(loss, z)[1], value_and_grad(with_constant, z)[1], atol=1e-6)


def test_bad_covariances_of_tico():
    z = np.ones((3, 4))
    with pytest.raises(ValueError, match=r"covariance has shape \(3, 3\) but must be \(4, 4\)"):
        losses.tico(z, z, np.eye(3))
    with pytest.raises(ValueError, match=r"decay=1.0 must lie in \[0, 1\)"):
        losses.tico_covariance(z, np.eye(4), decay=1.0)


def rotation(dim, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


def test_mmcr_of_orthonormal_and_of_collapsed_centroids():
    assert float(mmcr(np.stack([3 * np.eye(4)] * 3))) == pytest.approx(-4, rel=1e-5)
    assert float(mmcr(np.ones((2, 9, 4)))) == pytest.approx(-3, rel=1e-5)
    # The bound: two images in each of four orthogonal directions.
    z = np.concatenate([np.eye(4), np.eye(4)])
    assert float(mmcr(z[None])) == pytest.approx(-np.sqrt(8 * 4), rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 5, 8), (3, 8, 5)])
def test_mmcr_sees_neither_rotations_nor_the_order_of_views_and_images(shape):
    z = np.random.default_rng(0).normal(size=shape).astype("float32")
    value = float(mmcr(z))
    centroids = (z / np.linalg.norm(z, axis=-1, keepdims=True)).mean(0)
    assert value == pytest.approx(-np.linalg.svd(centroids, compute_uv=False).sum(), rel=1e-5)
    assert -np.sqrt(shape[1] * min(shape[1:])) <= value <= 0
    for other in (z @ rotation(shape[2]), z[::-1], z[:, ::-1]):
        assert float(mmcr(np.ascontiguousarray(other))) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("spectrum", [(1, 1, 1, 1), (1, 1, 0, 0), (1, 0.1, 1e-2, 1e-3), (0, 0, 0, 0)])
def test_the_gradient_of_a_nuclear_norm_is_the_orthogonal_factor(spectrum):
    u, v = rotation(6)[:, :4], rotation(4, 1)
    matrix = u * np.array(spectrum) @ v
    value, grads = value_and_grad(nuclear_norm, matrix)
    assert float(value) == pytest.approx(sum(spectrum), rel=1e-5, abs=1e-7)
    np.testing.assert_allclose(grads[0], u * (np.array(spectrum) > 0) @ v, atol=5e-3)


def test_the_local_term_of_mmcr_is_least_for_equal_views():
    z = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    equal = np.stack([z[0], z[0]])
    # One direction of two unit rows: the root of two an image.
    gain = float(mmcr(equal, local_weight=1.0)) - float(mmcr(equal))
    assert gain == pytest.approx(np.sqrt(2), rel=1e-5)
    assert float(mmcr(z, local_weight=1.0)) - float(mmcr(z)) > gain
    with pytest.raises(ValueError, match="local_weight=-1 must be >= 0"):
        losses.mmcr(z, -1)


def test_frossl_of_orthonormal_columns_and_of_collapsed_embeddings():
    columns = rotation(6)[:, :4] * np.array([1, 5, 0.1, 2])
    assert float(frossl(np.stack([columns] * 3))) == pytest.approx(-3 * np.log(4), rel=1e-5)
    assert float(frossl(np.ones((2, 6, 4)))) == pytest.approx(0, abs=1e-5)
    # Fewer images than dimensions bound the rank.
    assert float(frossl(np.stack([columns.T] * 2))) >= -2 * np.log(4)


def test_frossl_of_equal_views_has_no_invariance_and_sees_no_scale_of_a_dimension():
    z = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    value = float(frossl(np.stack([z, z])))
    assert float(frossl(np.stack([z, z]), invariance_weight=100.0)) == pytest.approx(value, rel=1e-5)
    scaled = z * np.array([1, 2, 3, 4, 5])
    assert float(frossl(np.stack([z, scaled]))) == pytest.approx(value, rel=1e-5)


def test_both_products_of_frossl_give_one_value():
    z = np.random.default_rng(0).normal(size=(2, 8, 5)).astype("float32")
    # A dimension that is dead does not count, but makes the other product the smaller one.
    padded = np.concatenate([z, np.zeros((2, 8, 6))], axis=2)
    entropy = float(frossl(z, invariance_weight=1e-9))
    assert float(frossl(padded, invariance_weight=1e-9)) == pytest.approx(entropy, rel=1e-5)
    apart = float(frossl(z)) - entropy
    assert float(frossl(padded)) - entropy == pytest.approx(apart, rel=1e-4)


def test_bad_weight_of_frossl():
    with pytest.raises(ValueError, match="invariance_weight=0 must be a positive finite number"):
        losses.frossl(np.ones((2, 3, 4)), 0)


def test_coding_rate_of_collapsed_and_of_orthonormal_rows():
    assert float(rate(np.ones((100, 1024)))) == pytest.approx(4.27055, rel=1e-4)
    assert float(rate(np.ones((64, 4)))) == pytest.approx(0.5 * np.log(1 + 4 / 0.2), rel=1e-5)
    rows = np.eye(1024)[:100]
    assert float(rate(rows)) == pytest.approx(50 * np.log(1 + 1024 / 20), rel=1e-5)
    assert float(rate(np.random.default_rng(0).normal(size=(100, 1024)))) < float(rate(rows))


def test_emp_ssl_of_equal_patches_is_the_weight_and_the_rate():
    z = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    value = float(emp_ssl(np.stack([z] * 3)))
    assert value == pytest.approx(-200 - float(rate(z)), rel=1e-5)
    # More diverse embeddings must have the lower loss: the sign that one port has wrong.
    assert value < float(emp_ssl(np.ones((3, 6, 4))))
    assert float(emp_ssl(np.stack([z @ rotation(4)] * 3))) == pytest.approx(value, rel=1e-5)


def test_bad_numbers_of_emp_ssl():
    with pytest.raises(ValueError, match="distortion=0 must be a positive finite number"):
        losses.total_coding_rate(np.eye(4), 0)
    with pytest.raises(ValueError, match="invariance_weight=-1 must be a positive finite number"):
        losses.emp_ssl(np.ones((2, 3, 4)), -1)
    with pytest.raises(ValueError, match=r"z has shape \(1, 4, 4\) but must be \(batch, dim\)"):
        losses.total_coding_rate(np.eye(4)[None])


def test_singular_values_that_are_alike_and_that_are_not():
    assert float(dispersion(np.stack([rotation(6)[:4]] * 2))) == pytest.approx(0, abs=1e-5)
    assert float(dispersion(np.ones((2, 6, 4)))) == pytest.approx(3, rel=1e-5)
    assert float(dispersion(np.ones((1, 1, 4)))) == pytest.approx(0, abs=1e-6)
    # Rows in two of four directions: half of the values are 0.
    assert float(dispersion(np.eye(4)[None, [0, 0, 1, 1]])) == pytest.approx(1, rel=1e-5)


def test_the_attraction_of_two_views_is_byol_and_leaves_the_own_target_out():
    p1, p2, z1, z2 = np.random.default_rng(0).normal(size=(4, 5, 4)).astype("float32")
    views, targets = np.stack([p1, p2]), np.stack([z1, z2])
    expected = (float(losses.byol(p1, z2)) + float(losses.byol(p2, z1))) / 2
    assert float(attraction(views, targets)) == pytest.approx(expected, rel=1e-5)
    # A student that equals its teacher is pulled where its views differ.
    assert float(attraction(views, views)) > 0.1
    assert float(attraction(np.stack([p1] * 3), np.stack([p1] * 3))) == pytest.approx(0, abs=1e-5)
    _, grads = value_and_grad(losses.centroid_attraction, views, targets)
    assert np.abs(grads[0]).max() > 1e-3 and not grads[1].any()
    with pytest.raises(ValueError, match=r"views has shape \(1, 5, 4\); at least two views"):
        losses.centroid_attraction(p1[None], z1[None])
