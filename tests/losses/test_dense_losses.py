"""Closed forms and invariances of the dense contrastive loss."""

import numpy as np
import pytest
from keras import ops
from loss_helpers import QUEUE, fast, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

dense = fast(losses.dense_info_nce)


def grids(seed=0, batch=3, cells=4):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, cells, width)).astype("float32") for width in (4, 4, 6, 6)]


def test_orthogonal_and_equal_negatives():
    cells, queue = np.eye(5)[None, :4], np.eye(5)[[4, 4, 4]]
    value = float(dense(cells, cells, cells, cells, queue, temperature=0.5))
    assert value == pytest.approx(np.log(1 + 3 * np.exp(-2)), rel=1e-5)
    same = np.ones((2, 4, 3))
    assert float(dense(same, same, same, same, np.ones((6, 3)))) == pytest.approx(np.log(7), rel=1e-5)


def test_equal_grids_match_cell_by_cell_and_a_permuted_one_follows():
    q, _, features, _ = grids()
    order = np.array([2, 0, 3, 1])
    identity = ops.convert_to_numpy(losses.match_cells(features, 3 * features))
    np.testing.assert_array_equal(identity, np.tile(np.arange(4), (3, 1)))
    permuted = ops.convert_to_numpy(losses.match_cells(features, features[:, order]))
    np.testing.assert_array_equal(order[permuted], identity)


def test_the_order_of_the_keys_cells_changes_nothing():
    q, k, q_features, k_features = grids()
    order = np.array([2, 0, 3, 1])
    expected = float(dense(q, k, q_features, k_features, QUEUE))
    assert float(dense(q, k[:, order], q_features, k_features[:, order], QUEUE)) == pytest.approx(
        expected, rel=1e-6
    )


def test_one_cell_is_info_nce_of_the_image():
    q, k, q_features, k_features = grids(cells=1)
    expected = float(losses.info_nce(q[:, 0], k[:, 0], QUEUE, 0.2))
    assert float(dense(q, k, q_features, k_features, QUEUE)) == pytest.approx(expected, rel=1e-6)


def test_the_match_has_no_gradient_and_only_matched_keys_have_one():
    q, k, q_features, k_features = grids()

    def loss(*inputs):
        return losses.dense_info_nce(*inputs, QUEUE)

    _, grads = value_and_grad(loss, q, k, q_features, k_features)
    assert np.abs(grads[0]).max() > 1e-3 and not grads[2].any() and not grads[3].any()
    matches = ops.convert_to_numpy(losses.match_cells(q_features, k_features))
    moved = np.abs(grads[1]).max(axis=-1) > 0
    assert [set(np.flatnonzero(row)) for row in moved] == [set(row) for row in matches]


def test_grids_that_do_not_fit():
    q, k, q_features, k_features = grids()
    with pytest.raises(ValueError, match=r"q has shape \(3, 4, 4\) but q_features has shape \(3, 2, 6\)"):
        losses.dense_info_nce(q, k, q_features[:, :2], k_features[:, :2], QUEUE)
    with pytest.raises(ValueError, match=r"k_features has shape \(3, 6\) but must be \(batch, cells, dim\)"):
        losses.dense_info_nce(q, k, q_features, k_features[:, 0], QUEUE)
