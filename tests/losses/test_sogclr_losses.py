"""The contrast over remembered normalizers, and the gradients of its temperatures."""

import numpy as np
import pytest
from keras import ops
from loss_helpers import (
    embeddings,
    fast,
    finite_differences,
    mean_similarities,
    sogclr_reference,
    value_and_grad,
    weighted_negatives,
)

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

three_seeds = pytest.mark.parametrize("seed", range(3))
log_means, temperature_gradients = fast(losses.log_mean_similarities), fast(losses.temperature_gradients)
TEMPERATURES = np.array([0.1, 0.3, 0.2, 0.5, 0.05], "float32")


def inputs(seed, batch=5):
    rng = np.random.default_rng(seed)
    z1, z2 = (z.astype("float32") for z in embeddings(rng, batch))
    return z1, z2, rng.uniform(-2, 8, size=(batch, 2)).astype("float32")


@three_seeds
@pytest.mark.parametrize("temperature", [0.2, TEMPERATURES])
def test_log_means_are_those_of_the_loop(seed, temperature):
    z1, z2, _ = inputs(seed)
    expected = np.log(mean_similarities(z1.astype("float64"), z2.astype("float64"), temperature))
    # Not as a keyword: `fast` keys compiled functions by keywords.
    found = ops.convert_to_numpy(losses.log_mean_similarities(z1, z2, temperature))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@three_seeds
@pytest.mark.parametrize("temperature", [0.2, TEMPERATURES])
def test_value_and_gradient_with_remembered_normalizers(seed, temperature):
    z1, z2, logs = inputs(seed)
    value, grads = value_and_grad(lambda a, b: losses.sogclr(a, b, logs, temperature), z1, z2)
    inputs64 = [z1.astype("float64"), z2.astype("float64")]
    normalizers = np.exp(logs.astype("float64"))
    np.testing.assert_allclose(value, sogclr_reference(*inputs64, normalizers, temperature), rtol=1e-5)

    # What the detached weights leave: p of these inputs times the moving cosines.
    n, rows = len(z1), np.concatenate(inputs64)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    of_anchors = np.tile(np.broadcast_to(temperature, n), 2)[:, None]
    weights = (
        np.exp(rows @ rows.T / of_anchors) / np.concatenate([normalizers[:, 0], normalizers[:, 1]])[:, None]
    )
    weights[(np.arange(2 * n)[:, None] - np.arange(2 * n)) % n == 0] = 0

    def with_these_weights(a, b):
        rows = np.concatenate([a, b])
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        negatives = (weights * (rows @ rows.T)).sum() / (2 * (n - 1))
        return (negatives - 2 * np.sum(rows[:n] * rows[n:])) / n

    for i in (0, 1):
        expected = finite_differences(with_these_weights, inputs64, i)
        np.testing.assert_allclose(grads[i], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@three_seeds
def test_under_the_normalizers_of_the_batch_the_gradient_is_that_of_dcl(seed):
    z1, z2, _ = inputs(seed)
    logs = ops.convert_to_numpy(log_means(z1, z2, temperature=0.2))
    _, grads = value_and_grad(lambda a, b: losses.sogclr(a, b, logs, 0.2), z1, z2)
    _, of_dcl = value_and_grad(lambda a, b: losses.dcl(a, b, 0.2), z1, z2)
    for grad, other in zip(grads, of_dcl, strict=True):
        np.testing.assert_allclose(grad, 2 * 0.2 * other, rtol=1e-4, atol=1e-6)


def test_parts_of_a_batch_equal_the_whole():
    z1, z2, logs = inputs(0, batch=6)
    share = [{"candidates": (z1, z2), "first_row": first} for first in (0, 3)]

    def of_parts(a, b):
        parts = [slice(0, 3), slice(3, 6)]
        return sum(
            losses.sogclr(a[p], b[p], logs[p], 0.2, candidates=(a, b), first_row=p.start) for p in parts
        ) / len(parts)

    value, grads = value_and_grad(lambda a, b: losses.sogclr(a, b, logs, 0.2), z1, z2)
    parts, parts_grads = value_and_grad(of_parts, z1, z2)
    np.testing.assert_allclose(parts, value, rtol=1e-6)
    for grad, other in zip(grads, parts_grads, strict=True):
        np.testing.assert_allclose(other, grad, rtol=1e-4, atol=1e-6)
    whole = ops.convert_to_numpy(losses.log_mean_similarities(z1, z2, 0.2))
    halves = [
        losses.log_mean_similarities(z1[i : i + 3], z2[i : i + 3], 0.2, **s)
        for i, s in zip((0, 3), share, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate([ops.convert_to_numpy(h) for h in halves]), whole, rtol=1e-5)


@three_seeds
def test_gradients_of_temperatures_are_those_of_the_objective(seed):
    z1, z2, logs = inputs(seed)
    found = ops.convert_to_numpy(losses.temperature_gradients(z1, z2, logs, TEMPERATURES, 0.4))
    pulls = weighted_negatives(
        z1.astype("float64"), z2.astype("float64"), np.exp(logs.astype("float64")), TEMPERATURES
    )
    expected = (logs + 0.4 - pulls / TEMPERATURES[:, None]).mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    # The derivative in the temperature of temperature * (log mean exp(s / temperature) + rho).
    def objective(temperatures):
        means = mean_similarities(z1.astype("float64"), z2.astype("float64"), temperatures)
        return np.mean(temperatures[:, None] * (np.log(means) + 0.4)) * len(temperatures)

    own = ops.convert_to_numpy(losses.log_mean_similarities(z1, z2, TEMPERATURES))
    found = ops.convert_to_numpy(losses.temperature_gradients(z1, z2, own, TEMPERATURES, 0.4))
    expected = finite_differences(objective, [TEMPERATURES.astype("float64")], 0, step=1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("same", [np.ones((3, 2)), -np.ones((4, 3))])
def test_equal_negatives_leave_the_price_alone(same):
    gradients = temperature_gradients(same, same, log_means(same, same), 0.1, 6.0)
    np.testing.assert_allclose(ops.convert_to_numpy(gradients), 6.0, rtol=1e-5)


def test_small_temperatures_stay_finite():
    z1, z2, _ = inputs(0)
    logs = ops.convert_to_numpy(losses.log_mean_similarities(z1, z2, 0.005))
    assert np.isfinite(logs).all() and logs.max() > 100
    value, grads = value_and_grad(lambda a, b: losses.sogclr(a, b, logs, 0.005), z1, z2)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads)


def test_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match="temperature=0 must be a positive finite number"):
        losses.log_mean_similarities(np.ones((2, 2)), np.ones((2, 2)), 0)
