"""Closed forms and invariances of CACR's attraction and repulsion."""

import numpy as np
import pytest
from loss_helpers import fast, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

attraction, repulsion = fast(losses.contrastive_attraction), fast(losses.contrastive_repulsion)
three_seeds = pytest.mark.parametrize("seed", range(3))


def views(seed=0, num_views=3, batch=5, dim=4):
    return np.random.default_rng(seed).normal(size=(num_views, batch, dim)).astype("float32")


def test_equal_views_of_orthogonal_images():
    z = np.stack([np.eye(4)] * 2)
    assert float(attraction(z)) == pytest.approx(0, abs=1e-6)
    assert float(repulsion(z)) == pytest.approx(-2, abs=1e-6)


def test_collapse_is_zero_and_repulsion_is_bounded():
    assert float(losses.cacr(np.ones((3, 4, 2)))) == pytest.approx(0, abs=1e-5)
    opposite = np.array([[[1.0, 0.0], [-1.0, 0.0]]] * 2)
    assert float(repulsion(opposite)) == pytest.approx(-4, abs=1e-6)
    value, grads = value_and_grad(losses.contrastive_repulsion, views(batch=1))
    assert value == 0 and not grads[0].any()


@three_seeds
def test_two_views_have_no_choice_of_positives(seed):
    z = views(seed, num_views=2)
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    expected = np.mean(np.sum((unit[0] - unit[1]) ** 2, axis=-1))
    for temperature in (0.1, 10.0):
        assert float(attraction(z, positive_temperature=temperature)) == pytest.approx(expected, rel=1e-5)


def test_small_temperatures_weigh_alike_and_large_ones_take_the_extreme():
    z = views()
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    d = np.sum((unit[:, None] - unit[None]) ** 2, axis=-1)
    others = np.stack([np.delete(d[x], x, axis=0) for x in range(3)])
    assert float(attraction(z, positive_temperature=1e-6)) == pytest.approx(others.mean(), rel=1e-4)
    assert float(attraction(z, positive_temperature=1e4)) == pytest.approx(
        others.max(axis=1).mean(), rel=1e-4
    )


@three_seeds
def test_the_parts_of_a_batch_make_its_repulsion(seed):
    def by_parts(z):
        rows = [slice(0, 3), slice(3, 6)]
        return sum(losses.contrastive_repulsion(z[:, r], candidates=z, first_row=r.start) for r in rows) / 2

    value, grads = value_and_grad(losses.contrastive_repulsion, views(seed, batch=6))
    part_value, part_grads = value_and_grad(by_parts, views(seed, batch=6))
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    np.testing.assert_allclose(part_grads[0], grads[0], rtol=1e-4, atol=1e-6)


def test_bad_views():
    with pytest.raises(ValueError, match=r"views has shape \(1, 5, 4\); at least two views"):
        losses.cacr(views(num_views=1))
    with pytest.raises(ValueError, match=r"views has shape \(5, 4\) but must be \(num_views, batch, dim\)"):
        losses.contrastive_attraction(views()[0])
    with pytest.raises(ValueError, match=r"views\[0\] has shape \(5, 4\) but views\[1\] has shape \(4, 4\)"):
        losses.contrastive_repulsion([views()[0], views()[1][:4]])
