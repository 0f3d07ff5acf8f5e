"""Closed forms and invariances of NT-Xent, Barlow Twins, SimSiam and BYOL."""

import functools

import numpy as np
import pytest
from loss_helpers import (
    barlow_twins_reference,
    embeddings,
    fast,
    nt_xent_reference,
    value_and_grad,
)

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

barlow_twins, nt_xent = fast(losses.barlow_twins), fast(losses.nt_xent)
byol, negative_cosine = fast(losses.byol), fast(losses.negative_cosine)

pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor")


def pair(seed=0, batch=6, dim=4):
    return [z.astype("float32") for z in embeddings(np.random.default_rng(seed), batch, dim)]


def test_nt_xent_of_identical_embeddings_is_log_of_the_others():
    z = np.ones((5, 3))
    assert float(nt_xent(z, z)) == pytest.approx(np.log(2 * 5 - 1), rel=1e-6)


def test_nt_xent_of_orthogonal_images():
    z = np.eye(4)
    assert float(nt_xent(z, z, temperature=0.5)) == pytest.approx(0.594438, abs=1e-6)
    assert float(nt_xent(z, z, temperature=0.1)) == pytest.approx(np.log1p(6 * np.exp(-10)), abs=2e-6)


def test_nt_xent_batch_of_one_is_zero_with_zero_gradient():
    value, grads = value_and_grad(losses.nt_xent, *pair(batch=1))
    assert value == 0.0
    assert all(np.abs(g).max() < 1e-6 for g in grads)


def test_nt_xent_ignores_the_order_of_views_and_the_norm_of_rows():
    z1, z2 = pair()
    expected = float(nt_xent(z1, z2))
    assert float(nt_xent(z2, z1)) == pytest.approx(expected, rel=1e-5)
    factors = np.array([1e-3, 0.5, 1.0, 2.0, 10.0, 1e3], "float32")[:, None]
    assert float(nt_xent(z1 * factors, z2)) == pytest.approx(expected, rel=1e-5)


def test_nt_xent_gradient_is_orthogonal_to_each_row():
    z1, z2 = pair()
    _, (g1, g2) = value_and_grad(losses.nt_xent, z1, z2)
    for z, g in ((z1, g1), (z2, g2)):
        np.testing.assert_allclose(np.sum(z * g, axis=1), 0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_nt_xent_is_finite_at_temperature_one_hundredth(dtype):
    z1, z2 = pair()
    value, grads = value_and_grad(lambda a, b: losses.nt_xent(a, b, temperature=0.01), z1, z2, dtype=dtype)
    assert value == pytest.approx(nt_xent_reference(z1.astype(float), z2.astype(float), 0.01), rel=2e-2)
    assert all(np.isfinite(g).all() for g in grads)


def test_nt_xent_temperature_may_be_a_tensor_with_a_gradient():
    z1, z2 = pair()
    value, (_, _, grad) = value_and_grad(losses.nt_xent, z1, z2, np.float32(0.2))
    z1, z2 = z1.astype(float), z2.astype(float)
    above, below = (nt_xent_reference(z1, z2, t) for t in (0.2 + 1e-6, 0.2 - 1e-6))
    assert value == pytest.approx(nt_xent_reference(z1, z2, 0.2), rel=1e-5)
    assert float(grad) == pytest.approx((above - below) / 2e-6, rel=1e-3)


@pytest.mark.parametrize("temperature", [0, -0.1, float("nan"), float("inf")])
def test_nt_xent_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match="temperature=.* must be a positive finite number"):
        nt_xent(*pair(), temperature=temperature)


@pytest.mark.parametrize("block_size", [1, 3, 5, 10, 64])
def test_nt_xent_by_blocks_equals_the_plain_form(block_size):
    z1, z2 = pair(batch=5)
    temperature = np.float32(0.2)
    value, grads = value_and_grad(losses.nt_xent, z1, z2, temperature)
    by_blocks = functools.partial(losses.nt_xent, block_size=block_size)
    block_value, block_grads = value_and_grad(by_blocks, z1, z2, temperature)
    np.testing.assert_allclose(block_value, value, rtol=1e-5)
    for block_grad, grad in zip(block_grads, grads, strict=True):
        np.testing.assert_allclose(block_grad, grad, rtol=1e-4, atol=1e-6)
    each = nt_xent(z1, z2, reduction="none")
    np.testing.assert_allclose(by_blocks(z1, z2, reduction="none"), each, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block_size", [None, 1, 4, 64])
def test_nt_xent_of_the_parts_of_a_batch_is_that_of_the_batch(block_size, seed):
    z1, z2 = pair(batch=6, seed=seed)
    temperature = np.float32(0.2)

    def by_parts(z1, z2, temperature):
        parts = [
            losses.nt_xent(
                z1[first : first + 3],
                z2[first : first + 3],
                temperature,
                block_size=block_size,
                candidates=(z1, z2),
                first_row=first,
            )
            for first in (0, 3)
        ]
        return sum(parts) / 2

    value, grads = value_and_grad(losses.nt_xent, z1, z2, temperature)
    part_value, part_grads = value_and_grad(by_parts, z1, z2, temperature)
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    for part_grad, grad in zip(part_grads, grads, strict=True):
        np.testing.assert_allclose(part_grad, grad, rtol=1e-4, atol=1e-6)


@pytest.mark.backends("jax")  # XLA's account of its memory is read on JAX.
@pytest.mark.parametrize("block_size, rows_held", [(None, 3 * 512), (64, 3 * 2 * 64)])
def test_nt_xent_holds_three_blocks_or_one_small_one(block_size, rows_held):
    import jax

    z = np.zeros((512, 8), "float32")
    step = jax.jit(
        jax.value_and_grad(functools.partial(losses.nt_xent, block_size=block_size), argnums=(0, 1))
    )
    temporary = step.lower(z, z).compile().memory_analysis().temp_size_in_bytes
    # Held as float32 rows of 512 similarities; a little more for the embeddings themselves.
    assert 512 * 4 * rows_held / 3 < temporary < 1.2 * 512 * 4 * rows_held


@pytest.mark.parametrize("block_size", [0, -2, 1.5])
def test_nt_xent_block_size_must_be_a_positive_integer(block_size):
    with pytest.raises(ValueError, match=f"block_size={block_size} must be a positive integer"):
        losses.nt_xent(*pair(), block_size=block_size)


def test_barlow_twins_of_whitened_equal_views_is_zero():
    z = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * 5.0
    assert float(barlow_twins(z, z)) == pytest.approx(0, abs=1e-8)


def test_barlow_twins_of_constant_embeddings_is_the_dimension():
    value, grads = value_and_grad(losses.barlow_twins, np.full((4, 7), 3.0), np.full((4, 7), -2.0))
    assert value == pytest.approx(7, rel=1e-6)
    assert all(np.abs(g).max() < 1e-3 for g in grads)


def test_barlow_twins_of_equal_dimensions():
    z = np.repeat(np.random.default_rng(0).normal(size=(32, 1)), 6, axis=1) * 30
    assert float(barlow_twins(z, z, redundancy_weight=0.01)) == pytest.approx(0.01 * 6 * 5, rel=1e-5)


def test_barlow_twins_invariances():
    z1, z2 = pair()
    z1, z2 = 10 * z1, 10 * z2
    expected = float(barlow_twins(z1, z2))
    assert float(barlow_twins(z2, z1)) == pytest.approx(expected, rel=1e-5)
    scale, shift = np.array([1.0, 2.0, 3.0, 9.0]), np.array([0.0, 1.0, -2.0, 5.0])
    assert float(barlow_twins(z1 * scale + shift, z2)) == pytest.approx(expected, rel=1e-4)


def test_barlow_twins_flipped_view_turns_only_the_diagonal():
    z1, z2 = (z.astype("float64") for z in pair())
    diagonal = barlow_twins_reference(z1, z2, 0.0), barlow_twins_reference(-z1, z2, 0.0)
    difference = float(barlow_twins(-z1, z2)) - float(barlow_twins(z1, z2))
    assert difference == pytest.approx(diagonal[1] - diagonal[0], rel=1e-4)


def test_barlow_twins_small_off_diagonal_survives_a_large_diagonal():
    z1, _ = pair(batch=64, dim=32)
    z2 = -z1
    for weight in (1e-4, 1.0):
        expected = barlow_twins_reference(z1.astype(float), z2.astype(float), weight)
        assert float(barlow_twins(z1, z2, redundancy_weight=weight)) == pytest.approx(expected, rel=1e-5)


def test_barlow_twins_weight_must_be_positive():
    with pytest.raises(ValueError, match="redundancy_weight=-1 must be a finite number, at least 0"):
        barlow_twins(*pair(), redundancy_weight=-1)


@pytest.mark.parametrize(
    "loss, aligned, orthogonal, opposite", [(negative_cosine, -1, 0, 1), (byol, 0, 2, 4)]
)
def test_cosine_losses_at_the_three_angles(loss, aligned, orthogonal, opposite):
    p = np.array([[3.0, 0.0], [3.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    z = np.array([[0.5, 0.0], [0.0, 7.0], [-1.0, 0.0], [1.0, 0.0]])
    each = [float(v) for v in loss(p, z, reduction="none")]
    assert each == pytest.approx([aligned, orthogonal, opposite, orthogonal], abs=1e-6)


def test_byol_is_two_plus_two_negative_cosines():
    p, z = pair()
    assert float(byol(p, z)) == pytest.approx(2 + 2 * float(negative_cosine(p, z)), rel=1e-6)
    assert float(byol(p * 100, z * 0.01)) == pytest.approx(float(byol(p, z)), rel=1e-5)
