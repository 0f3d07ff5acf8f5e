"""Closed forms of the losses that look at the second moments of a batch."""

import numpy as np
import pytest
from loss_helpers import fast, value_and_grad

from kerassl import losses

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
