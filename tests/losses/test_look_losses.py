"""Closed forms and special rows of LOOK."""

import numpy as np
import pytest
from loss_helpers import QUEUE, QUEUE_LABELS, fast, look_reference, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

look = fast(losses.look)


def queries(n=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 4)).astype("float32")


def labels(*values):
    return np.array(values, "int32")


def test_with_all_rows_as_neighbors_it_is_nca_over_the_queue():
    q, classes = queries(), labels(0, 1, 2, 0, 1)
    queue = QUEUE / np.linalg.norm(QUEUE, axis=1, keepdims=True)
    weights = np.exp(q / np.linalg.norm(q, axis=1, keepdims=True) @ queue.T / 0.2)
    weights[:, QUEUE_LABELS < 0] = 0
    right = (weights * (classes[:, None] == QUEUE_LABELS)).sum(axis=1)
    each = look(q, classes, QUEUE, QUEUE_LABELS, num_neighbors=100, temperature=0.2, reduction="none")
    np.testing.assert_allclose(each, -np.log(right / weights.sum(axis=1)), rtol=1e-4, atol=1e-6)


def test_neighbors_of_one_class_cost_nothing_and_a_tied_vote_its_share():
    near, far = [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]
    queue = np.array(4 * near + 3 * far, "float32")
    q = np.array(near, "float32")
    for right in range(1, 5):
        queue_labels = labels(*[0] * right, *[1] * (4 - right), 1, 1, 0)
        value = look(q, labels(0), queue, queue_labels, num_neighbors=4, temperature=0.05)
        assert float(value) == pytest.approx(np.log(4 / right), abs=1e-5)


def test_a_query_without_its_class_among_the_nearest_is_drawn_to_the_nearest_of_it():
    q, queue = np.array([[1.0, 0.2]], "float32"), np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], "float32")
    value, (gradient, *_) = value_and_grad(
        lambda q: losses.look(q, labels(1), queue, labels(0, 0, 1, 1), num_neighbors=2), q
    )
    rows = queue[:3] / np.linalg.norm(queue[:3], axis=1, keepdims=True)
    cosines = rows @ (q[0] / np.linalg.norm(q[0])) / 0.1
    assert value == pytest.approx(np.log(np.exp(cosines).sum()) - cosines[2], rel=1e-5)
    assert (gradient[0] @ [-0.2, 1.0]) < 0


def test_what_has_no_label_neither_learns_nor_votes():
    def loss(q):
        some = labels(0, -1, 9, 1)
        return losses.look(q, some, QUEUE, QUEUE_LABELS, num_neighbors=3, reduction="none")

    q = queries(4)
    value, (gradient, *_) = value_and_grad(loss, q)
    assert not value[1:3].any() and not gradient[1:3].any()
    assert gradient[[0, 3]].any(axis=1).all()
    changed = np.where(QUEUE_LABELS[:, None] < 0, -QUEUE, QUEUE)
    again = look(q, labels(0, -1, 9, 1), changed, QUEUE_LABELS, num_neighbors=3, reduction="none")
    np.testing.assert_allclose(again, value, rtol=1e-6)
    nothing = value_and_grad(lambda q: losses.look(q, labels(0, 0, 1, 1), QUEUE, np.full(7, -1)), q)
    assert nothing[0] == 0 and not nothing[1][0].any()


@pytest.mark.parametrize("num_neighbors", (1, 2, 5))
def test_it_is_the_loop_for_any_number_of_neighbors(num_neighbors):
    q, classes = queries(8, seed=3), labels(0, 1, 2, 0, 1, 2, 0, 1)
    value = look(q, classes, QUEUE, QUEUE_LABELS, num_neighbors=num_neighbors)
    assert float(value) == pytest.approx(look_reference(q, classes, num_neighbors), rel=1e-4)


def test_bad_arguments():
    q, classes = queries(), labels(0, 1, 2, 0, 1)
    with pytest.raises(ValueError, match="num_neighbors=0 must be a positive integer"):
        losses.look(q, classes, QUEUE, QUEUE_LABELS, num_neighbors=0)
    with pytest.raises(ValueError, match=r"queue has shape \(7, 3\) but q has shape \(5, 4\)"):
        losses.look(q, classes, QUEUE[:, :3], QUEUE_LABELS)
    with pytest.raises(ValueError, match=r"queue has shape \(7, 4\) but queue_labels has shape \(6,\)"):
        losses.look(q, classes, QUEUE, QUEUE_LABELS[:6])
