import numpy as np
import pytest

from kerassl.evaluation import alpha_req, eigenspectrum, lidar


def views(means, spread, count=6, seed=0):
    """`count` views about each mean, whose deviations have exactly the covariance `spread^2 I`."""
    rng = np.random.default_rng(seed)
    images, dim = means.shape
    noise = rng.normal(size=(images, count, dim))
    noise -= noise.mean(1, keepdims=True)
    within = noise.reshape(-1, dim)
    covariance = within.T @ within / (images * (count - 1))
    return means[:, None] + spread * noise @ np.linalg.inv(np.linalg.cholesky(covariance)).T


def spread_means(rank, dim=8, images=40, seed=1):
    """Means along `rank` directions with equal spread."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(np.column_stack([np.ones(images), rng.normal(size=(images, rank))]))[0][:, 1:]
    return left @ np.linalg.qr(rng.normal(size=(dim, dim)))[0][:rank]


@pytest.mark.parametrize("rank", (1, 3, 8))
def test_lidar_counts_the_directions_that_tell_images_apart(rank):
    features = views(spread_means(rank), 0.5)
    assert lidar(features, delta=1e-9) == pytest.approx(rank, rel=1e-3)


def test_lidar_is_free_of_linear_maps_and_equals_the_equation():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4, 1)) * 0.3 + rng.normal(size=(30, 1, 5)) * [3, 2, 1, 1, 0.5]
    features += 0.2 * rng.normal(size=features.shape)
    mapped = features @ rng.normal(size=(5, 5))
    assert lidar(mapped, delta=1e-9) == pytest.approx(lidar(features, delta=1e-9), rel=1e-4)
    means = features.mean(1)
    between = sum(np.outer(m - means.mean(0), m - means.mean(0)) for m in means) / 29
    within = sum(np.outer(v - m, v - m) for m, image in zip(means, features, strict=True) for v in image)
    within = within / (30 * 3) + 1e-4 * np.eye(5)
    eigenvalues = np.linalg.eigvals(np.linalg.solve(within, between)).real
    shares = (eigenvalues + 1e-8) / np.sum(eigenvalues + 1e-8)
    assert lidar(features) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-6)


def test_lidar_of_images_that_are_all_alike_and_bad_shapes():
    assert lidar(views(np.zeros((10, 4)), 1.0)) == 1.0
    with pytest.raises(ValueError, match=r"shape \(images, views, dim\).*got shape \(10, 1, 4\)"):
        lidar(np.zeros((10, 1, 4)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        lidar(np.full((3, 2, 2), np.nan))
    with pytest.raises(ValueError, match="delta must be a finite number above 0"):
        lidar(np.zeros((3, 2, 2)), delta=0)


def of_spectrum(eigenvalues, seed=0):
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))[0]
    rows = np.sqrt(eigenvalues)[:, None] * rotation
    return np.concatenate([rows, -rows])


@pytest.mark.parametrize("exponent", (0.7, 1.3))
def test_alpha_req_is_the_exponent_of_a_power_law(exponent):
    features = of_spectrum(np.arange(1, 65) ** -exponent)
    fit = alpha_req(100 * features + 7)
    assert fit.alpha == pytest.approx(exponent, abs=1e-3) and fit.r2 == pytest.approx(1, abs=1e-4)


def test_alpha_req_of_white_features_is_zero_and_equals_a_weighted_fit():
    assert alpha_req(of_spectrum(np.ones(32))).alpha == pytest.approx(0, abs=1e-4)
    features = np.random.default_rng(0).normal(size=(500, 20)) * np.linspace(3, 0.5, 20)
    ranks = np.arange(3, 16)
    logs = np.log(eigenspectrum(features)[2:15])
    slope = np.polyfit(np.log(ranks), logs, 1, w=np.sqrt(1 / ranks))[0]
    fit = alpha_req(features, first=3, last=15)
    assert fit.alpha == pytest.approx(-slope, rel=1e-6) and 0.5 < fit.r2 < 1


def test_spectrum_is_that_of_the_centered_covariance():
    features = np.random.default_rng(0).normal(size=(60, 4)) + 10
    expected = np.sort(np.linalg.eigvalsh(np.cov(features.T)))[::-1]
    np.testing.assert_allclose(eigenspectrum(features), expected / expected.sum(), rtol=1e-5)
    assert not eigenspectrum(np.full((5, 3), 2.0)).any()


def test_ranks_that_cannot_be_fitted_are_named():
    with pytest.raises(
        ValueError, match="first=3 to last=4 cannot be fitted: the features have 4 eigenvalues"
    ):
        alpha_req(np.random.default_rng(0).normal(size=(30, 4)), first=3)
