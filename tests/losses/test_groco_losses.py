"""Closed forms and invariances of GroCo and of the differentiable sort that it uses."""

import functools

import numpy as np
import pytest
from loss_helpers import embeddings, fast, finite_differences, groco_reference, sort_reference, value_and_grad

from kerassl import losses
from kerassl.losses.contrastive.differentiable_sort import differentiable_sort

pytestmark = pytest.mark.backends("torch")

groco = fast(losses.groco)
three_seeds = pytest.mark.parametrize("seed", range(3))


def views(seed=0, num_views=2, batch=6, dim=4):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, dim)).astype("float32") for _ in range(num_views)]


@pytest.mark.parametrize("n", (1, 2, 5, 8))
def test_the_sort_is_the_network_of_the_loop_and_doubly_stochastic(n):
    values = np.random.default_rng(n).normal(size=(3, n)).astype("float32")
    relaxed, permutation = map(np.asarray, fast(differentiable_sort)(values, steepness=2.0))
    expected = [sort_reference(row, steepness=2.0) for row in values]
    np.testing.assert_allclose(permutation, expected, atol=1e-6)
    np.testing.assert_allclose(relaxed, np.einsum("bi,bij->bj", values, permutation), atol=1e-6)
    np.testing.assert_allclose(permutation.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(permutation.sum(axis=2), 1, atol=1e-6)


def test_a_steep_sort_sorts():
    values = np.random.default_rng(0).normal(size=(4, 7)).astype("float32")
    relaxed, permutation = map(np.asarray, fast(differentiable_sort)(values, steepness=1e6))
    np.testing.assert_allclose(relaxed, np.sort(values, axis=1), atol=1e-3)
    np.testing.assert_array_equal(permutation.argmax(axis=1), values.argsort(axis=1))


@pytest.mark.parametrize("gap, expected", [(0.0, 0.6931), (0.5, 0.4345), (1.0, 0.2877)])
def test_one_negative_and_one_positive(gap, expected):
    # Equal views, and two images as far apart as makes the gap.
    angles = np.array([0.0, np.arccos(1 - gap)])
    z = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
    assert float(groco(z, z, num_negatives=1)) == pytest.approx(expected, abs=1e-4)


def test_a_right_order_costs_nothing_once_the_sort_is_steep_and_a_wrong_one_stays_finite():
    z = np.eye(5, dtype="float32")
    assert float(groco(z, z, z, num_negatives=3)) > 0.1
    assert float(groco(z, z, z, num_negatives=3, steepness=1e5)) == pytest.approx(0, abs=1e-3)
    loss = functools.partial(losses.groco, num_negatives=3, steepness=1e20)
    value, grads = value_and_grad(loss, np.repeat(z[:1], 5, axis=0) + 0.01 * z, -z)
    assert 0 < value < 100 and all(np.isfinite(g).all() for g in grads)


@three_seeds
def test_three_views_order_two_positives(seed):
    z = views(seed, num_views=3)
    value, grads = value_and_grad(functools.partial(losses.groco, num_negatives=3), *z)
    assert value == pytest.approx(groco_reference(*z), rel=1e-5)
    for i in range(3):
        expected = finite_differences(functools.partial(groco_reference, detached=z), z, i)
        np.testing.assert_allclose(grads[i], expected, rtol=1e-3, atol=2e-5)


def test_a_common_shift_of_all_similarities_changes_nothing():
    values = np.random.default_rng(0).uniform(-1, 1, size=(3, 6)).astype("float32")
    _, permutation = fast(differentiable_sort)(values, steepness=1.0)
    _, shifted = fast(differentiable_sort)(values + 0.5, steepness=1.0)
    np.testing.assert_allclose(shifted, permutation, atol=1e-6)


@three_seeds
def test_the_parts_of_a_batch_make_its_loss(seed):
    def by_parts(z1, z2):
        parts = []
        for r in (slice(0, 3), slice(3, 6)):
            parts.append(losses.groco(z1[r], z2[r], num_negatives=4, candidates=(z1, z2), first_row=r.start))
        return sum(parts) / 2

    z = [x.astype("float32") for x in embeddings(np.random.default_rng(seed), 6)]
    value, grads = value_and_grad(functools.partial(losses.groco, num_negatives=4), *z)
    part_value, part_grads = value_and_grad(by_parts, *z)
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    for part, whole in zip(part_grads, grads, strict=True):
        np.testing.assert_allclose(part, whole, rtol=1e-4, atol=1e-6)


def test_bad_arguments():
    z1, z2 = views()
    with pytest.raises(ValueError, match="needs at least two; got 1"):
        losses.groco(z1)
    with pytest.raises(ValueError, match="num_negatives=0 must be a positive integer"):
        losses.groco(z1, z2, num_negatives=0)
    with pytest.raises(ValueError, match="steepness=0 must be a positive finite number"):
        losses.groco(z1, z2, steepness=0)
    with pytest.raises(ValueError, match=r"candidates\[0\] has shape \(6, 4\) but candidates\[1\] has"):
        losses.groco(z1, z2, candidates=(z1, z2[:4]))
