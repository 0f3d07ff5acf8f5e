import functools

import keras
import numpy as np
import pytest
from loss_helpers import dcl_reference, embeddings, finite_differences, unit, value_and_grad
from tiny import make, ready_views, terms_and_rest

from kerassl.losses import dcl, macl

once = pytest.mark.backends("torch")

TINY = {"MACL": {"arguments": {"projection_dim": 8}}}


def pair(seed=0, batch=6, dim=4):
    return [z.astype("float32") for z in embeddings(np.random.default_rng(seed), batch, dim)]


def adapted(z1, z2, temperature=0.1, scaling_factor=0.5, alignment_threshold=0.0):
    alignment = np.mean([unit(a) @ unit(b) for a, b in zip(z1, z2, strict=True)])
    return temperature * (1 + scaling_factor * (alignment - alignment_threshold))


def reference(z1, z2, **settings):
    temperature = adapted(z1, z2, **settings)
    rows, n = [unit(r) for r in (*z1, *z2)], len(z1)
    each = []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        scores = np.array([rows[i] @ rows[k] / temperature for k in range(2 * n) if k != i])
        negatives = np.array([rows[i] @ rows[k] / temperature for k in range(2 * n) if k not in (i, partner)])
        log_sum = np.log(np.exp(scores - scores.max()).sum()) + scores.max()
        miss = np.exp(negatives - log_sum).sum()
        each.append((log_sum - rows[i] @ rows[partner] / temperature) / miss)
    return np.mean(each)


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 0.5, "scaling_factor": 2.0, "alignment_threshold": -0.3}]
)
def test_value_is_that_of_the_float64_loop_and_gradient_that_of_dcl_at_its_temperature(settings):
    z1, z2 = pair()
    value, gradients = value_and_grad(functools.partial(macl, **settings), z1, z2)
    z1, z2 = z1.astype("float64"), z2.astype("float64")
    assert float(value) == pytest.approx(reference(z1, z2, **settings), rel=1e-5)
    of_dcl = functools.partial(dcl_reference, temperature=adapted(z1, z2, **settings))
    for i in range(2):
        numeric = finite_differences(of_dcl, [z1, z2], i)
        np.testing.assert_allclose(gradients[i], numeric, rtol=1e-3, atol=2e-5, err_msg=str(i))


@once
@pytest.mark.parametrize("scaling_factor", (0.0, 0.5, 3.0))
def test_identical_embeddings_have_the_closed_form(scaling_factor):
    z, n = np.ones((5, 3), "float32"), 10
    expected = np.log(n - 1) * (n - 1) / (n - 2)
    assert float(macl(z, z, scaling_factor=scaling_factor)) == pytest.approx(expected, rel=1e-5)


@once
def test_well_separated_pairs_give_one_and_a_gradient_that_is_not_nan():
    z = np.eye(4, dtype="float32")
    value, gradients = value_and_grad(functools.partial(macl, temperature=1e-3), z, z + 1e-3)
    assert float(value) == pytest.approx(1, abs=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@once
def test_a_held_temperature_is_that_of_nt_xent_by_its_weights():
    z1, z2 = pair()
    _, gradients = value_and_grad(functools.partial(macl, scaling_factor=0.0, temperature=0.3), z1, z2)
    _, of_dcl = value_and_grad(functools.partial(dcl, temperature=0.3), z1, z2)
    for found, expected in zip(gradients, of_dcl, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@once
def test_the_parts_of_a_batch_and_its_blocks_give_the_loss_of_the_batch():
    z1, z2 = pair(batch=6)
    whole = macl(z1, z2, reduction="none")
    parts = [
        macl(z1[rows], z2[rows], reduction="none", candidates=(z1, z2), first_row=rows.start)
        for rows in (slice(0, 2), slice(2, 6))
    ]
    whole, parts = (
        keras.ops.convert_to_numpy(whole),
        np.concatenate([*map(keras.ops.convert_to_numpy, parts)]),
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
    assert float(macl(z1, z2, block_size=5)) == pytest.approx(whole.mean(), rel=1e-5)


@once
def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="scaling_factor=-1 must be a finite number, at least 0"):
        macl(*pair(), scaling_factor=-1)
    with pytest.raises(ValueError, match="temperature=0 must be"):
        macl(*pair(), temperature=0)
    with pytest.raises(ValueError, match="scaling_factor must be >= 0, got -0.5"):
        make("MACL", scaling_factor=-0.5)


@once
def test_it_is_simclr_with_another_loss():
    views, settings = (
        ready_views("MACL"),
        {"temperature": 0.3, "scaling_factor": 0.7, "alignment_threshold": 0.1},
    )
    model = make("MACL", views=None, **settings)
    z = model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    terms, _ = terms_and_rest(model, views)
    assert set(terms) == {"macl"}
    assert float(terms["macl"]) == pytest.approx(float(macl(*keras.ops.split(z, 2), **settings)), rel=1e-5)
