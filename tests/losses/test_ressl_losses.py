"""Closed forms of ReSSL's relational loss."""

import numpy as np
import pytest
from loss_helpers import QUEUE, fast, softmax, unit, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

ressl = fast(losses.ressl)


def rows(seed, batch=5, dim=4):
    return np.random.default_rng(seed).normal(size=(batch, dim)).astype("float32")


def test_a_queue_of_equal_rows_gives_the_log_of_its_size():
    queue = np.tile(rows(0, 1), (6, 1))
    assert float(ressl(rows(1), rows(2), queue)) == pytest.approx(np.log(6), rel=1e-5)


def test_the_least_value_is_the_teachers_entropy():
    q = rows(3)

    def loss(q):
        return losses.ressl(q, q, QUEUE, student_temperature=0.2, teacher_temperature=0.2)

    value, grads = value_and_grad(loss, q)
    teacher = [softmax(np.array([unit(row) @ unit(n) for n in QUEUE]) / 0.2) for row in q]
    assert float(value) == pytest.approx(np.mean([-np.sum(p * np.log(p)) for p in teacher]), rel=1e-5)
    np.testing.assert_allclose(grads[0], 0, atol=1e-6)


def test_the_gradient_is_the_difference_of_the_two_softmaxes():
    q, k = rows(4, 1), rows(5, 1)
    _, grads = value_and_grad(lambda q: losses.ressl(q, k, QUEUE), q)
    direction, queue = unit(q[0]), np.array([unit(n) for n in QUEUE])
    difference = softmax(queue @ direction / 0.1) - softmax(queue @ unit(k[0]) / 0.04)
    to_direction = queue.T @ difference / 0.1
    expected = (to_direction - direction * (direction @ to_direction)) / np.linalg.norm(q[0])
    np.testing.assert_allclose(grads[0][0], expected, rtol=1e-3, atol=1e-4)


def test_bad_arguments():
    with pytest.raises(ValueError, match="teacher_temperature=0 must be a positive finite number"):
        losses.ressl(rows(0), rows(1), QUEUE, teacher_temperature=0)
    with pytest.raises(ValueError, match=r"queue has shape \(5, 3\) but q has shape \(5, 4\)"):
        losses.ressl(rows(0), rows(1), rows(0, dim=3))
