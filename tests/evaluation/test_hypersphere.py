import numpy as np
import pytest

from kerassl.evaluation import alignment, tolerance, uniformity


def features(n=50, dim=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim))


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_uniformity_closed_forms():
    assert uniformity(np.ones((7, 3))) == pytest.approx(0, abs=1e-12)
    antipodal = np.array([[1.0, 2.0], [-3.0, -6.0]])
    assert uniformity(antipodal) == pytest.approx(np.log((1 + np.exp(-8)) / 2), abs=1e-12)
    assert uniformity(antipodal, t=1) == pytest.approx(np.log((1 + np.exp(-4)) / 2), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_uniformity_is_the_mean_over_all_ordered_pairs(seed, monkeypatch):
    monkeypatch.setattr("kerassl.metrics.hypersphere.CHUNK", 7)
    x = unit(features(seed=seed))
    pairs = [np.exp(-2 * np.sum((a - b) ** 2)) for a in x for b in x]
    assert uniformity(5 * x) == pytest.approx(np.log(np.mean(pairs)), abs=1e-6)


def test_alignment_of_equal_opposite_and_orthogonal_pairs():
    x = np.eye(3)
    assert alignment(x, 4 * x) == 0
    assert alignment(x, -x) == pytest.approx(4)
    assert alignment(x, np.roll(x, 1, axis=0), alpha=1) == pytest.approx(2**0.5)
    with pytest.raises(ValueError, match=r"have the shape of features, \(3, 3\), row by row; got \(2, 3\)"):
        alignment(x, x[:2])


@pytest.mark.parametrize("seed", range(3))
def test_tolerance_is_the_mean_over_all_ordered_pairs(seed):
    x, labels = unit(features(seed=seed)), np.arange(50) % 4
    pairs = [
        (a @ b) * (i == j) for a, i in zip(x, labels, strict=True) for b, j in zip(x, labels, strict=True)
    ]
    assert tolerance(3 * x, labels) == pytest.approx(np.mean(pairs), abs=1e-6)


def test_tolerance_of_collapsed_features_is_the_chance_of_sharing_a_class():
    assert tolerance(np.ones((4, 2)), np.array([0, 0, 0, 1])) == pytest.approx(10 / 16)


def test_tolerance_leaves_images_without_a_label_out():
    x, labels = unit(features()), np.arange(50) % 4
    labels[::5] = -1
    assert tolerance(x, labels) == pytest.approx(tolerance(x[labels >= 0], labels[labels >= 0]), abs=1e-12)
    with pytest.raises(ValueError, match="All 50 labels are -1"):
        tolerance(x, np.full(50, -1))


def test_bad_t():
    with pytest.raises(ValueError, match="t must be a finite number above 0; got 0"):
        uniformity(features(), t=0)
