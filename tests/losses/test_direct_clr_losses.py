"""Closed forms of DirectCLR's loss."""

import numpy as np
import pytest
from loss_helpers import fast, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

direct_clr, info_nce = fast(losses.direct_clr), fast(losses.info_nce)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_collapse_is_the_logarithm_of_the_batch():
    z = np.ones((6, 8), "float32")
    assert float(direct_clr(z, z, subvector_dim=3)) == pytest.approx(np.log(6), rel=1e-5)


def test_the_other_coordinates_neither_move_the_loss_nor_are_moved():
    r1, r2 = normal(5, 8), normal(5, 8, seed=1)
    value, grads = value_and_grad(lambda a, b: losses.direct_clr(a, b, subvector_dim=3), r1, r2)
    for grad in grads:
        assert np.abs(grad[:, :3]).min() > 0 and not grad[:, 3:].any()
    r1[:, 3:] *= 100
    assert float(direct_clr(r1, r2, subvector_dim=3)) == pytest.approx(float(value), rel=1e-6)


def test_all_coordinates_are_info_nce_in_both_directions():
    r1, r2 = normal(5, 8), normal(5, 8, seed=1)
    expected = (float(info_nce(r1, r2)) + float(info_nce(r2, r1))) / 2
    assert float(direct_clr(r1, r2, subvector_dim=8)) == pytest.approx(expected, rel=1e-6)


def test_the_parts_of_a_batch_make_its_loss():
    def by_parts(a, b):
        parts = [losses.direct_clr(a[r], b[r], 3, candidates=(a, b)) for r in (slice(0, 3), slice(3, 6))]
        return (parts[0] + parts[1]) / 2

    r1, r2 = normal(6, 8), normal(6, 8, seed=1)
    value, grads = value_and_grad(lambda a, b: losses.direct_clr(a, b, 3), r1, r2)
    part_value, part_grads = value_and_grad(by_parts, r1, r2)
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    for part, grad in zip(part_grads, grads, strict=True):
        np.testing.assert_allclose(part, grad, rtol=1e-4, atol=1e-6)


def test_bad_width():
    with pytest.raises(ValueError, match="subvector_dim=360 of 8 coordinates cannot be"):
        losses.direct_clr(normal(2, 8), normal(2, 8))
