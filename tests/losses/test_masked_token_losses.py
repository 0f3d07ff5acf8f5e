"""Closed forms of the losses of masked self-distillation: iBOT's of hidden tokens, and KoLeo."""

import numpy as np
import pytest
from loss_helpers import embeddings, fast, ibot_reference, koleo_reference, masked_tokens, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

ibot, koleo = fast(losses.ibot), fast(losses.koleo)
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


def test_koleo_closed_forms():
    antipodal = np.array([[3.0, 0.0], [-0.1, 0.0]])
    assert float(koleo(antipodal)) == pytest.approx(-np.log(2), rel=1e-6)
    assert float(koleo(5 * np.eye(6))) == pytest.approx(-np.log(2) / 2, rel=1e-6)
    # Each of two equal rows, and a third whose neighbor is either.
    each = koleo(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]), reduction="none")
    expected = [-np.log(1e-8), -np.log(1e-8), -np.log(2) / 2]
    np.testing.assert_allclose([float(v) for v in each], expected, rtol=1e-5)


def test_koleo_of_one_row_is_zero():
    value, (grad,) = value_and_grad(losses.koleo, np.ones((1, 3)))
    assert value == 0 and not grad.any()


def test_koleo_reaches_the_neighbor_too():
    angles = np.array([0.0, 0.5, 2.5])
    z = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    _, (grad,) = value_and_grad(lambda z: losses.koleo(z, reduction="none")[2:], z)
    assert not grad[0].any() and np.abs(grad[1]).max() > 0.1 and np.abs(grad[2]).max() > 0.1


@pytest.mark.parametrize("parts", (2, 4))
def test_koleo_of_parts_of_the_batch_is_that_of_the_batch(parts):
    z, _ = embeddings(rng(0), 8)

    def of_parts(z):
        size = 8 // parts
        each = [losses.koleo(z[i : i + size], candidates=z, first_row=i) for i in range(0, 8, size)]
        return sum(each) / parts

    whole, (grad,) = value_and_grad(losses.koleo, z)
    value, (of_all,) = value_and_grad(of_parts, z)
    assert value == pytest.approx(float(whole), rel=1e-6)
    np.testing.assert_allclose(of_all, grad, rtol=1e-5, atol=1e-6)
    expected = koleo_reference(z[4:6], z, first_row=4)
    assert float(losses.koleo(z[4:6], candidates=z, first_row=4)) == pytest.approx(expected, rel=1e-5)


def test_koleo_refuses_candidates_of_another_width():
    with pytest.raises(ValueError, match="candidates has shape .* must be equal in dim"):
        losses.koleo(np.ones((2, 3)), candidates=np.ones((4, 5)))


def test_koleo_of_nan_is_nan():
    for row in (0, 2):
        features = np.random.default_rng(0).normal(size=(4, 3))
        features[row, 1] = np.nan
        assert np.isnan(float(koleo(features)))
        assert np.isnan(np.array(koleo(features, reduction="none"))[row])
