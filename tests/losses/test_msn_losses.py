"""Closed forms of MSN's targets, its cross entropy, and the divergence of prototypes' use from a prior."""

import numpy as np
import pytest
from keras import ops
from loss_helpers import fast, finite_differences, softmax, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

rng = np.random.default_rng


def numpy(x):
    return ops.convert_to_numpy(x)


def divergence(mean, prior):
    return sum(p * np.log(p / q) for p, q in zip(mean, prior, strict=True) if p > 0)


def test_msn_of_equal_prototypes_is_log_of_their_number():
    targets = numpy(losses.msn_targets(rng(0).normal(size=(3, 6))))
    assert float(fast(losses.msn)(np.full((4, 3, 6), 0.4), targets)) == pytest.approx(np.log(6), rel=1e-6)


def test_msn_counts_the_mass_of_a_target():
    logits, targets = rng(0).normal(size=(2, 3, 4)), np.full((3, 4), 0.25)
    whole, half = (float(fast(losses.msn)(logits, mass * targets)) for mass in (1.0, 0.5))
    assert half == pytest.approx(whole / 2, rel=1e-6)


def sharpened(logits, temperature, sharpening):
    p = np.array([softmax(row / temperature) for row in logits]) ** (1 / sharpening)
    return p / p.sum(axis=1, keepdims=True)


def test_targets_are_sharpened_and_then_balanced():
    logits = rng(0).uniform(-0.5, 0.5, size=(6, 4))
    q = sharpened(logits, 0.1, 0.25)
    np.testing.assert_allclose(losses.msn_targets(logits, sinkhorn_iterations=0), q, atol=1e-5)
    for _ in range(3):
        q = q / q.sum(axis=0)
        q = q / q.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(losses.msn_targets(logits), q, atol=1e-5)


def test_a_sharpening_of_one_changes_nothing_and_of_nearly_zero_leaves_one_prototype():
    logits = rng(1).uniform(-0.5, 0.5, size=(5, 4))
    plain = np.array([softmax(row / 0.1) for row in logits])
    np.testing.assert_allclose(losses.msn_targets(logits, 0.1, 1.0, 0), plain, atol=1e-6)
    one_hot = numpy(losses.msn_targets(logits, 0.1, 1e-4, 0))
    np.testing.assert_allclose(one_hot, np.eye(4)[logits.argmax(axis=1)], atol=1e-6)


def test_balanced_targets_follow_a_prior():
    prior = numpy(losses.power_law_prior(3, 0.5))
    targets = numpy(losses.msn_targets(rng(2).normal(size=(12, 3)) * 0.02, 0.1, 0.5, 300, prior=prior))
    np.testing.assert_allclose(targets.sum(axis=0) / 12, prior, atol=1e-5)


@pytest.mark.parametrize("iterations", (0, 3))
def test_no_gradient_passes_through_targets(iterations):
    def loss(anchors, target):
        return losses.msn(anchors, losses.msn_targets(target, sinkhorn_iterations=iterations))

    inputs = rng(0).normal(size=(2, 3, 4)), rng(1).normal(size=(3, 4))
    _, (of_anchors, of_target) = value_and_grad(loss, *inputs)
    assert np.abs(of_anchors).max() > 1e-3
    assert not of_target.any()


def test_divergence_is_the_loop_of_its_sum():
    mean, prior = softmax(rng(0).normal(size=5)), softmax(rng(1).normal(size=5))
    value, (gradient,) = value_and_grad(lambda p: losses.prior_divergence(p, prior), mean)
    assert value == pytest.approx(divergence(mean, prior), rel=1e-5)
    expected = finite_differences(lambda p: divergence(p, prior), [mean], 0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4)
    # The other direction is another number.
    assert abs(value - divergence(prior, mean)) > 1e-2


def test_divergence_from_equal_shares_is_what_entropy_lacks():
    mean = softmax(rng(0).normal(size=7))
    value = float(losses.prior_divergence(mean))
    assert value == pytest.approx(np.log(7) + np.sum(mean * np.log(mean)), rel=1e-5)
    assert float(losses.prior_divergence(mean, losses.power_law_prior(7, 0.0))) == pytest.approx(value)
    assert float(losses.prior_divergence(np.full(7, 1 / 7))) == pytest.approx(0, abs=1e-6)
    assert float(losses.prior_divergence(np.eye(7)[2])) == pytest.approx(np.log(7), rel=1e-6)
    both = losses.prior_divergence(np.stack([mean, np.eye(7)[2]]))
    assert float(both) == pytest.approx((value + np.log(7)) / 2, rel=1e-5)


def test_divergence_from_its_own_mean_is_zero_and_flat():
    prior = numpy(losses.power_law_prior(6))
    value, (gradient,) = value_and_grad(lambda p: losses.prior_divergence(p, prior), prior)
    assert value == pytest.approx(0, abs=1e-6)
    # Along the simplex: the same in every direction.
    np.testing.assert_allclose(gradient, 1.0, atol=1e-5)


@pytest.mark.parametrize("dtype", ("float32", "bfloat16", "float16"))
def test_divergence_of_prototypes_without_images_is_finite(dtype):
    value, (gradient,) = value_and_grad(losses.prior_divergence, [0.0, 1.0, 0.0, 1e-38], dtype=dtype)
    assert value == pytest.approx(np.log(4), rel=1e-5)
    assert np.isfinite(gradient).all()


def test_bad_arguments():
    logits = np.zeros((3, 4), "float32")
    with pytest.raises(ValueError, match="sharpening=0 must be a positive"):
        losses.msn_targets(logits, sharpening=0)
    with pytest.raises(ValueError, match="iterations=-1 must be at least 1"):
        losses.msn_targets(logits, sinkhorn_iterations=-1)
    with pytest.raises(ValueError, match="temperature=-1 must be a positive"):
        losses.msn(logits[None], logits, temperature=-1)
    with pytest.raises(ValueError, match=r"prior has shape \(2,\) but must be \(4,\)"):
        losses.prior_divergence(logits[0], np.ones(2))
