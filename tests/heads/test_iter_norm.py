"""Whitening by Newton's iteration."""

import keras
import numpy as np
import pytest

from kerassl.heads import IterNorm


def rows(batch=64, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(batch, dim)) @ rng.normal(size=(dim, dim)) + 3).astype("float32")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def newton(x, iterations, epsilon=1e-5):
    """Algorithm 1 of the paper on one group, in float64."""
    centered = x.astype("float64") - x.mean(axis=0, dtype="float64")
    sigma = centered.T @ centered / len(x) + epsilon * np.eye(x.shape[1])
    trace, p = np.trace(sigma), np.eye(x.shape[1])
    for _ in range(iterations):
        p = 0.5 * (3 * p - p @ p @ p @ sigma / trace)
    return centered @ (p / np.sqrt(trace))


@pytest.mark.parametrize("num_groups", [1, 2])
def test_groups_are_whitened_by_the_papers_iteration(num_groups):
    x = rows()
    expected = np.concatenate([newton(g, 5) for g in np.split(x, num_groups, axis=1)], axis=1)
    made = numpy(IterNorm(6, num_groups)(x, training=True))
    np.testing.assert_allclose(made, expected, atol=2e-5)


def test_many_iterations_whiten_and_groups_of_one_standardize():
    made = numpy(IterNorm(6, num_groups=1, iterations=25)(rows(), training=True))
    np.testing.assert_allclose(np.cov(made.T, bias=True), np.eye(6), atol=2e-3)
    x = rows()
    made = numpy(IterNorm(6, num_groups=64)(x, training=True))
    np.testing.assert_allclose(made, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), atol=1e-4)


def test_evaluation_uses_running_means_that_training_moves():
    layer = IterNorm(6, num_groups=2, momentum=0.75)
    x = rows()
    np.testing.assert_array_equal(numpy(layer(x)), x)
    first = numpy(layer(x, training=True))
    np.testing.assert_allclose(numpy(layer.moving_mean), 0.25 * x.mean(0), rtol=1e-5)
    for _ in range(40):
        layer(x, training=True)
    np.testing.assert_allclose(numpy(layer(x)), first, atol=1e-3)


def test_what_does_not_vary_stays_finite():
    made = numpy(IterNorm(6, num_groups=2)(np.ones((8, 6), "float32"), training=True))
    np.testing.assert_allclose(made, 0, atol=1e-6)
    alone = numpy(IterNorm(6, num_groups=2)(rows(batch=1), training=True))
    np.testing.assert_allclose(alone, 0, atol=1e-6)


def test_it_computes_in_float32_whatever_comes():
    x = keras.ops.cast(rows(), "float16")
    made = IterNorm(6, num_groups=2)(x, training=True)
    assert keras.backend.standardize_dtype(made.dtype) == "float32"


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_groups=4 must divide the width 6"):
        IterNorm(6, num_groups=4)
    with pytest.raises(ValueError, match="iterations must be >= 1, got 0"):
        IterNorm(6, num_groups=2, iterations=0)
