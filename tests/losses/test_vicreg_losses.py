"""Closed forms and invariances of VICReg and VIbCReg and of their terms."""

import numpy as np
import pytest
from loss_helpers import embeddings, fast, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

vicreg = fast(losses.vicreg)
hinge, covariance = fast(losses.variance_hinge), fast(losses.off_diagonal_covariance)
vibcreg, correlation = fast(losses.vibcreg), fast(losses.off_diagonal_correlation)


def pair(seed=0, batch=6, dim=4):
    return [z.astype("float32") for z in embeddings(np.random.default_rng(seed), batch, dim)]


def test_collapse_costs_the_variance_weight():
    ones = np.ones((8, 16))
    assert float(vicreg(ones, ones)) == pytest.approx(25 * (1 - 0.01), rel=1e-6)
    assert float(vicreg(ones, ones, variance=2.0)) == pytest.approx(1.98, rel=1e-6)


def test_nothing_is_left_to_improve():
    # Centered columns, orthogonal to each other, of unbiased variance 1.
    z = np.linalg.qr(np.concatenate([np.ones((8, 1)), np.random.default_rng(0).normal(size=(8, 4))], 1))[0]
    z = z[:, 1:] * np.sqrt(7)
    assert float(vicreg(z, z)) == pytest.approx(0, abs=1e-5)
    # Another embedding of the second view is then only as bad as it is far away.
    assert float(vicreg(z, -z)) == pytest.approx(25 * np.mean(4 * z**2), rel=1e-5)


def test_all_dimensions_alike():
    z1, _ = pair(batch=8)
    z = np.repeat(z1[:, :1], 5, axis=1)
    assert float(covariance(z)) == pytest.approx(4 * z1[:, 0].var(ddof=1) ** 2, rel=1e-5)


def test_variances_do_not_drown_the_covariance():
    z = np.array([[1e4, 1.0], [-1e4, 1.0], [1e4, -1.0], [-1e4, -1.0]])
    z[0, 1] = 1.1
    expected = np.cov(z.T)[0, 1] ** 2
    assert float(covariance(z)) == pytest.approx(expected, rel=1e-4)


def test_the_terms_ignore_shifts_and_a_large_variance():
    z, _ = pair()
    assert float(hinge(z + 3)) == pytest.approx(float(hinge(z)), rel=1e-5)
    assert float(covariance(z + 3)) == pytest.approx(float(covariance(z)), rel=1e-5)
    value, (grad,) = value_and_grad(losses.variance_hinge, 10 * z)
    assert value == 0 and not grad.any()


def test_views_may_be_swapped_and_weights_are_linear():
    z1, z2 = pair()
    assert float(vicreg(z2, z1)) == pytest.approx(float(vicreg(z1, z2)), rel=1e-6)
    parts = [float(vicreg(z1, z2, **dict.fromkeys(("invariance", "variance", "covariance"), 0.0) | one))
             for one in ({"invariance": 25.0}, {"variance": 25.0}, {"covariance": 1.0})]  # fmt: skip
    assert parts[0] == pytest.approx(25 * np.mean((z1 - z2) ** 2), rel=1e-5)
    assert parts[1] == pytest.approx(12.5 * (float(hinge(z1)) + float(hinge(z2))), rel=1e-5)
    assert sum(parts) == pytest.approx(float(vicreg(z1, z2)), rel=1e-5)


def test_a_batch_of_one_has_no_variance():
    z1, z2 = pair(batch=1)
    assert float(hinge(z1)) == pytest.approx(0.99, rel=1e-6)
    assert float(covariance(z1)) == 0
    assert float(vicreg(z1, z2)) == pytest.approx(24.75 + 25 * np.mean((z1 - z2) ** 2), rel=1e-5)


def test_vibcreg_sums_the_variances_of_collapsed_views():
    ones = np.ones((8, 16))
    assert float(vibcreg(ones, ones)) == pytest.approx(49.5, rel=1e-6)


def test_correlations_know_no_scale():
    z, _ = pair(batch=8)
    expected = np.corrcoef(z.T)
    np.fill_diagonal(expected, 0)
    assert float(correlation(z)) == pytest.approx(np.mean(expected**2), rel=1e-5)
    assert float(correlation(z * [1e-3, 1, 10, 1e3])) == pytest.approx(np.mean(expected**2), rel=1e-4)
    alike = np.repeat(z[:, :1], 5, axis=1) * [1, -2, 3, 4, 5]
    assert float(correlation(alike)) == pytest.approx(1 - 1 / 5, rel=1e-5)


def test_a_constant_dimension_correlates_with_none():
    z, _ = pair()
    z[:, 1] = 2.0
    value, (grad,) = value_and_grad(losses.off_diagonal_correlation, z)
    rest = np.corrcoef(np.delete(z, 1, axis=1).T)
    assert value == pytest.approx(np.sum(rest**2 - np.eye(3)) / 16, rel=1e-5)
    assert not grad[:, 1].any() and np.isfinite(grad).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="covariance=-1 must be a finite number, at least 0"):
        losses.vicreg(*pair(), covariance=-1)
    with pytest.raises(ValueError, match=r"z has shape \(4,\) but must be \(batch, dim\)"):
        losses.off_diagonal_covariance(pair()[0][0])
