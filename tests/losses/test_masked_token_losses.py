"""Closed forms of the losses of masked self-distillation."""

import numpy as np
import pytest
from loss_helpers import fast, ibot_reference, masked_tokens, value_and_grad

from kerassl import losses

ibot = fast(losses.ibot)
rng = np.random.default_rng


def test_ibot_of_a_uniform_student_is_log_of_the_prototypes():
    _, teacher, mask = masked_tokens(rng(0), 3)
    each = np.array([float(v) for v in ibot(np.zeros((3, 6, 5)), teacher, mask, reduction="none")])
    np.testing.assert_allclose(each, [np.log(5), 0, np.log(5)], rtol=1e-6)


def test_ibot_of_nothing_masked_is_zero():
    student, teacher, mask = masked_tokens(rng(0), 3)
    value, (grad, _) = value_and_grad(lambda s, t: losses.ibot(s, t, 0 * mask), student, teacher)
    assert value == 0 and not grad.any()


def test_ibot_tokens_that_are_seen_do_not_count():
    student, teacher, mask = masked_tokens(rng(0), 3)
    value, (grad, _, _) = value_and_grad(losses.ibot, student, teacher, mask)
    assert not grad[mask == 0].any() and np.abs(grad[mask == 1]).max(axis=1).min() > 1e-4
    student[mask == 0], teacher[mask == 0] = 1e3, 0.2
    assert float(ibot(student, teacher, mask)) == pytest.approx(float(value), rel=1e-6)
    assert float(ibot(student, teacher, mask.astype(bool))) == pytest.approx(float(value), rel=1e-6)


def test_ibot_crops_count_alike_however_much_of_them_is_masked():
    student, teacher, mask = masked_tokens(rng(0), 3)
    mask[0] = 1
    expected = ibot_reference(student, teacher, mask)
    assert float(ibot(student, teacher, mask)) == pytest.approx(expected, rel=1e-5)
    order = [4, 2, 0, 1, 5, 3]
    permuted = [x[:, order] for x in (student, teacher, mask)]
    assert float(ibot(*permuted)) == pytest.approx(expected, rel=1e-5)


def test_ibot_refuses_a_temperature_of_zero():
    with pytest.raises(ValueError, match="student_temperature=0 must be"):
        losses.ibot(*masked_tokens(rng(0), 2), student_temperature=0)
