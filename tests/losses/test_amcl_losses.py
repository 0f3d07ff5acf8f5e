"""Closed forms and invariances of AMCL."""

import numpy as np
import pytest
from keras import ops
from loss_helpers import HEADS_QUEUE, amcl_temperatures, fast, heads, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

amcl, amcl_queue = fast(losses.amcl), fast(losses.amcl_queue)
amcl_barlow_twins = fast(losses.amcl_barlow_twins)
one_head_or_three = pytest.mark.parametrize("num_heads", (1, 3))


def views(seed=0, batch=5, num_heads=2, dim=4):
    return np.random.default_rng(seed).normal(size=(2, batch, num_heads, dim)).astype("float32")


def alike(temperature, *shape):
    return np.full(shape, temperature, "float32")


@one_head_or_three
@pytest.mark.parametrize("regularization", (0.0, 0.1))
def test_with_one_temperature_it_is_nt_xent_of_each_head(num_heads, regularization):
    z1, z2 = views(num_heads=num_heads)
    each = amcl(z1, z2, alike(0.3, num_heads, 10, 10), regularization=regularization, reduction="none")
    expected = [losses.nt_xent(z1[:, c], z2[:, c], 0.3, reduction="none") for c in range(num_heads)]
    np.testing.assert_allclose(each, np.sum(expected, axis=0), rtol=1e-4)


@one_head_or_three
def test_with_one_temperature_the_queues_is_info_nce_of_each_head(num_heads):
    q, k = views(num_heads=num_heads)
    queue = views(1, batch=7, num_heads=num_heads)[0]
    value = amcl_queue(q, k, queue, alike(0.3, num_heads, 5), alike(0.3, num_heads, 5, 7))
    expected = [losses.info_nce(q[:, c], k[:, c], queue[:, c], 0.3) for c in range(num_heads)]
    assert float(value) == pytest.approx(float(np.sum(expected)), rel=1e-4)


@one_head_or_three
def test_with_temperatures_of_one_it_is_barlow_twins_of_each_head_and_a_constant(num_heads):
    z1, z2 = views(batch=12, num_heads=num_heads)
    value = amcl_barlow_twins(z1, z2, alike(1.0, num_heads, 4, 4), redundancy_weight=0.1, regularization=0.3)
    expected = sum(float(losses.barlow_twins(z1[:, c], z2[:, c], 0.1)) for c in range(num_heads))
    constant = num_heads * (4 + 0.1 * 12) * 0.3
    assert float(value) == pytest.approx(expected + constant, rel=1e-5)


def test_a_free_temperature_of_an_entry_settles_by_its_error():
    z1, z2 = views(batch=12, num_heads=1)
    a, b = ((z[:, 0] - z[:, 0].mean(0)) / np.sqrt(z[:, 0].var(0) + 1e-5) for z in (z1, z2))
    settled = 2 * (1 + (a.T @ b / 12 - np.eye(4)) ** 2 / 0.1)
    value, (_, _, to_settled) = value_and_grad(
        losses.amcl_barlow_twins, z1, z2, settled[None].astype("float32")
    )
    np.testing.assert_allclose(to_settled, 0, atol=1e-6)
    for factor in (0.9, 1.1):
        assert float(amcl_barlow_twins(z1, z2, (factor * settled[None]).astype("float32"))) > value


def test_the_penalty_is_least_at_two_over_the_dimension():
    # Rows of zeros, whose cosines are 0: the loss is high where the negative's penalty is low.
    at = np.linspace(0.05, 1, 96).astype("float32")
    q = np.zeros((96, 1, 8), "float32")
    each = amcl_queue(q, q, q[:1], alike(1.0, 1, 96), at[None, :, None], regularization=1.0, reduction="none")
    assert at[np.argmax(each)] == pytest.approx(2 / 8, abs=0.011)
    np.testing.assert_allclose(each, np.log1p(np.exp(1 - 4 * np.log(at) - 1 / at)), rtol=1e-4, atol=1e-6)


def test_the_order_of_the_heads_does_not_matter():
    z1, z2 = views(num_heads=3)
    rows = np.concatenate([z1, z2])
    temperatures = amcl_temperatures(rows, rows)
    order = [2, 0, 1]
    moved = amcl(z1[:, order], z2[:, order], temperatures[order])
    assert float(moved) == pytest.approx(float(amcl(z1, z2, temperatures)), rel=1e-6)


def test_a_cold_positive_and_warm_negatives_cost_less_and_temperatures_learn():
    z1, z2 = views(num_heads=1)
    z2 = z1 + 0.1 * z2
    rows = np.arange(10)
    value, (to_z1, to_z2, to_temperatures) = value_and_grad(losses.amcl, z1, z2, alike(0.5, 1, 10, 10))
    assert (to_temperatures[0, rows, (rows + 5) % 10] > 0).all()
    assert not to_temperatures[0, rows, rows].any()
    assert (to_temperatures[0].sum(axis=1) - to_temperatures[0, rows, (rows + 5) % 10] < 0).all()
    colder = alike(0.5, 1, 10, 10) - 0.01 * to_temperatures
    assert float(amcl(z1, z2, colder.astype("float32"))) < value


def test_smallest_temperatures_stay_finite():
    z1, z2 = views()
    rng = np.random.default_rng(0)
    temperatures = rng.choice([1e-5, 2.0], size=(2, 10, 10)).astype("float32")
    value, grads = value_and_grad(losses.amcl, z1, z2, temperatures)
    assert np.isfinite(value) and value >= 0 and all(np.isfinite(g).all() for g in grads)


def test_the_parts_of_a_batch_make_its_loss():
    def temperatures(rows, others):
        return amcl_temperatures(ops.concatenate(rows), ops.concatenate(others))

    def by_parts(z1, z2):
        parts = []
        for r in (slice(0, 3), slice(3, 6)):
            part = z1[r], z2[r]
            share = {"candidates": (z1, z2), "first_row": r.start}
            parts.append(losses.amcl(*part, temperatures(part, (z1, z2)), **share))
        return sum(parts) / 2

    def whole(z1, z2):
        return losses.amcl(z1, z2, temperatures((z1, z2), (z1, z2)))

    z = [x.astype("float32") for x in heads(np.random.default_rng(0), 6)]
    value, grads = value_and_grad(whole, *z)
    part_value, part_grads = value_and_grad(by_parts, *z)
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    for part, all_of_it in zip(part_grads, grads, strict=True):
        np.testing.assert_allclose(part, all_of_it, rtol=1e-4, atol=1e-6)


def test_bad_arguments():
    z1, z2 = views()
    with pytest.raises(ValueError, match=r"temperatures has shape \(2, 3, 3\) but must be \(2, 4, 4\)"):
        losses.amcl_barlow_twins(z1, z2, alike(1.0, 2, 3, 3))
    with pytest.raises(ValueError, match="redundancy_weight=-1 must be a finite number"):
        losses.amcl_barlow_twins(z1, z2, alike(1.0, 2, 4, 4), redundancy_weight=-1)
    with pytest.raises(ValueError, match=r"temperatures has shape \(2, 5, 5\) but must be \(2, 10, 10\)"):
        losses.amcl(z1, z2, alike(1.0, 2, 5, 5))
    with pytest.raises(ValueError, match=r"queue_temperatures has shape \(2, 5\) but must be \(2, 5, 7\)"):
        losses.amcl_queue(z1[..., :3], z2[..., :3], HEADS_QUEUE, alike(1.0, 2, 5), alike(1.0, 2, 5))
    with pytest.raises(ValueError, match=r"queue has shape \(7, 2, 3\) but q has shape \(5, 2, 4\)"):
        losses.amcl_queue(z1, z2, HEADS_QUEUE, alike(1.0, 2, 5), alike(1.0, 2, 5, 7))
    with pytest.raises(ValueError, match="regularization=-1 must be >= 0"):
        losses.amcl(z1, z2, alike(1.0, 2, 10, 10), regularization=-1)
