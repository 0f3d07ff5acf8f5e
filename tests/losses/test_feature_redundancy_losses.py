"""Closed forms of All4One's feature objective."""

import numpy as np
import pytest
from loss_helpers import fast, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

redundancy = fast(losses.feature_redundancy)


def rows(seed, batch=6, dim=4):
    return np.random.default_rng(seed).normal(size=(batch, dim)).astype("float32")


def test_zero_where_every_dimension_agrees_with_itself_alone():
    # Also with a student of another length.
    basis = np.vstack([np.eye(4)] * 3).astype("float32")
    assert float(redundancy(3 * basis, 7 * basis, basis, 2 * basis)) == pytest.approx(0, abs=1e-6)


def test_collapse_is_one_half():
    same = np.ones((6, 4), "float32")
    assert float(redundancy(same, same, same, same)) == pytest.approx(0.5, rel=1e-6)


def test_the_columns_are_not_centered_and_the_students_have_no_length():
    z1, z2, t1, t2 = (rows(seed) for seed in range(4))
    value = float(redundancy(z1, z2, t1, t2))
    scale = np.array([2.0, 5.0, 0.1, 1.0], "float32")
    assert float(redundancy(z1 * scale, z2 * scale, t1, t2)) == pytest.approx(value, rel=1e-5)
    lengths = np.arange(1, 7, dtype="float32")[:, None]
    assert float(redundancy(z1, z2, lengths * t1, t2)) == pytest.approx(value, rel=1e-5)
    assert abs(float(redundancy(z1 + 1, z2 + 1, t1, t2)) - value) > 1e-3


def test_no_gradient_reaches_the_targets():
    _, grads = value_and_grad(losses.feature_redundancy, *(rows(seed) for seed in range(4)))
    assert np.abs(grads[0]).max() > 1e-3 and np.abs(grads[1]).max() > 1e-3
    assert not grads[2].any() and not grads[3].any()


def test_other_shapes_of_the_targets():
    with pytest.raises(ValueError, match=r"z1 has shape \(6, 4\) but targets1 has shape \(6, 3\)"):
        losses.feature_redundancy(rows(0), rows(1), rows(2, dim=3), rows(3, dim=3))
