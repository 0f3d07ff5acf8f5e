"""Closed forms of DINO, masked MSE, the KL divergence and SSLD."""

import numpy as np
import pytest
from loss_helpers import (
    dino_inputs,
    dino_reference,
    fast,
    masked_mse_reference,
    patches,
    softmax,
    value_and_grad,
)

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

dino, dino_teacher_probs = fast(losses.dino), losses.dino_teacher_probs
masked_mse, ssld = fast(losses.masked_mse), fast(losses.ssld)

pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor")
rng = np.random.default_rng


def test_dino_of_a_uniform_student_is_log_of_the_prototypes():
    _, teacher = dino_inputs(rng(0), 3)
    assert float(dino(np.zeros((6, 3, 5)), teacher)) == pytest.approx(np.log(5), rel=1e-6)


@pytest.mark.parametrize("teacher_views, student_views", [(2, 2), (2, 8), (1, 2), (3, 3)])
def test_dino_leaves_out_each_view_with_itself(teacher_views, student_views):
    student = rng(1).normal(size=(student_views, 2, 5)) * 0.3
    teacher = np.exp(rng(2).normal(size=(teacher_views, 2, 5)))
    teacher /= teacher.sum(-1, keepdims=True)
    assert float(dino(student, teacher)) == pytest.approx(dino_reference(student, teacher), rel=1e-5)


def test_dino_every_student_view_counts():
    student, teacher = dino_inputs(rng(0), 3)
    _, (grad, _) = value_and_grad(losses.dino, student, teacher)
    assert (np.abs(grad).max(axis=(1, 2)) > 1e-4).all()


def test_dino_of_equal_student_and_teacher_is_the_entropy():
    logits = rng(0).normal(size=(1, 3, 5))
    both = np.concatenate([logits, logits])
    teacher = dino_teacher_probs(both, np.zeros(5), temperature=0.5)
    entropy = np.mean([-(softmax(row / 0.5) * np.log(softmax(row / 0.5))).sum() for row in logits[0]])
    assert float(dino(both, teacher, student_temperature=0.5)) == pytest.approx(entropy, rel=1e-5)


def test_dino_teacher_probs_shift_with_the_centre():
    logits, centre, shift = rng(0).normal(size=(2, 3, 5)), rng(1).normal(size=5), rng(2).normal(size=5)
    expected = np.apply_along_axis(softmax, -1, (logits - centre) / 0.04)
    np.testing.assert_allclose(dino_teacher_probs(logits, centre, 0.04), expected, rtol=1e-4, atol=1e-7)
    shifted = dino_teacher_probs(logits + shift, centre + shift, 0.04)
    np.testing.assert_allclose(shifted, expected, rtol=1e-3, atol=1e-6)


def test_dino_is_finite_at_small_temperatures():
    student, _ = dino_inputs(rng(0), 3)

    def loss(student):
        teacher = dino_teacher_probs(student[:2] * 50, np.zeros(5), temperature=0.01)
        return losses.dino(student * 50, teacher, student_temperature=0.01)

    value, (grad,) = value_and_grad(loss, student)
    assert np.isfinite(value) and np.isfinite(grad).all()


def test_dino_temperature_has_a_gradient():
    student, teacher = dino_inputs(rng(0), 3)
    _, (_, _, grad) = value_and_grad(losses.dino, student, teacher, np.float32(0.2))
    above, below = (dino_reference(student, teacher, t) for t in (0.2 + 1e-6, 0.2 - 1e-6))
    assert float(grad) == pytest.approx((above - below) / 2e-6, rel=1e-3)


def test_dino_refuses_views_without_a_pair():
    one, two = np.zeros((1, 3, 5)), np.full((2, 3, 5), 0.2)
    with pytest.raises(ValueError, match="student_logits of 1 and teacher_probs of 1 views"):
        dino(one, two[:1])
    with pytest.raises(ValueError, match="student_logits of 1 and teacher_probs of 2 views"):
        dino(one, two)
    with pytest.raises(ValueError, match="temperature=0 must be"):
        dino(two, two, student_temperature=0)
    with pytest.raises(ValueError, match="temperature=-1 must be"):
        dino_teacher_probs(two, np.zeros(5), temperature=-1)


def test_masked_mse_visible_patches_do_not_count():
    prediction, target, mask = patches(rng(0), 3)
    value, (grad, _, _) = value_and_grad(losses.masked_mse, prediction, target, mask)
    assert not grad[:, 1::2].any() and np.abs(grad[:, ::2]).min() > 0
    prediction[:, 1::2] = 1e3
    assert float(masked_mse(prediction, target, mask)) == pytest.approx(float(value), rel=1e-6)


def test_masked_mse_normalized_target():
    prediction, target, mask = patches(rng(0), 3)
    value, (grad, _) = value_and_grad(
        lambda p, t: losses.masked_mse(p, t, mask, True), prediction, 5 + 3 * target
    )
    assert value == pytest.approx(masked_mse_reference(prediction, 5 + 3 * target, mask, True), rel=1e-5)
    target = rng(1).uniform(size=(2, 4, 768))
    zero = float(masked_mse(np.zeros_like(target), target, np.ones((2, 4)), normalize_target=True))
    assert zero == pytest.approx(767 / 768, abs=3e-5)


def test_masked_mse_constant_patches_and_empty_masks_are_zero():
    ones = np.ones((2, 3, 4))
    for mask, prediction in ((np.zeros((2, 3)), 5 * ones), (np.ones((2, 3)), 0 * ones)):
        value, grads = value_and_grad(lambda p, t, m=mask: losses.masked_mse(p, t, m, True), prediction, ones)
        assert value == 0 and all(np.isfinite(g).all() for g in grads)
    each = masked_mse(5 * ones, ones, [[0, 0, 0], [1, 0, 1]], reduction="none")
    assert [float(v) for v in each] == [0.0, 16.0]


def test_masked_mse_takes_boolean_masks():
    prediction, target, mask = patches(rng(0), 3)
    expected = float(masked_mse(prediction, target, mask))
    assert float(masked_mse(prediction, target, mask.astype(bool))) == expected


def test_masked_mse_weighs_masked_patches_equally_over_the_batch():
    prediction, target, mask = patches(rng(0), 3)
    mask[0], mask[1, 0] = 1, 0
    assert float(masked_mse(prediction, target, mask)) == pytest.approx(
        masked_mse_reference(prediction, target, mask), rel=1e-5
    )


def test_masked_mse_refuses_single_values_to_normalize():
    with pytest.raises(ValueError, match="two values or more; target has dim=1"):
        masked_mse(np.zeros((2, 3, 1)), np.zeros((2, 3, 1)), np.ones((2, 3)), normalize_target=True)


def test_ssld_ignores_a_constant_and_the_order():
    s, t = rng(0).normal(size=(2, 4, 6))
    assert float(ssld(s, s + 3)) == pytest.approx(0, abs=1e-6)
    assert float(ssld(s, t)) == pytest.approx(float(ssld(t, s)), rel=1e-5)


def test_ssld_of_two_classes():
    p, q = 0.8, 0.3
    logit = lambda x: np.log(x / (1 - x))  # noqa: E731
    expected = 0.5 * (p - q) * (logit(p) - logit(q))
    assert float(ssld([[logit(q), 0.0]], [[logit(p), 0.0]])) == pytest.approx(expected, rel=1e-5)


def test_ssld_is_at_least_twice_the_jensen_shannon_divergence():
    s, t = rng(0).normal(size=(2, 8, 6))
    p, q = np.apply_along_axis(softmax, 1, s), np.apply_along_axis(softmax, 1, t)
    m = (p + q) / 2
    divergence = 0.5 * np.sum(p * np.log(p / m) + q * np.log(q / m), axis=1)
    each = np.array([float(v) for v in ssld(s, t, reduction="none")])
    assert (each >= 2 * divergence - 1e-6).all()


def test_ssld_is_finite_for_extreme_logits():
    value, (grad, _) = value_and_grad(losses.ssld, [[1e4, -1e4, 0.0]], [[-1e4, 1e4, 0.0]])
    assert value == pytest.approx(2e4, rel=1e-4) and np.isfinite(grad).all()
