"""Closed forms and invariances of DCL, DCLW, InfoNCE and SupCon."""

import functools

import numpy as np
import pytest
from keras import ops
from loss_helpers import (
    QUEUE,
    dcl_reference,
    dclw_weights,
    embeddings,
    fast,
    finite_differences,
    labeled_rows,
    sup_con_reference,
    value_and_grad,
)

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

dcl, dclw, nt_xent = fast(losses.dcl), fast(losses.dclw), fast(losses.nt_xent)
info_nce, sup_con = fast(losses.info_nce), fast(losses.sup_con)
three_seeds = pytest.mark.parametrize("seed", range(3))


def pair(seed=0, batch=6, dim=4):
    return [z.astype("float32") for z in embeddings(np.random.default_rng(seed), batch, dim)]


@three_seeds
def test_nt_xent_is_the_softplus_of_dcl(seed):
    # Of each of the 2N views; doubled images make both directions of an image equal.
    z, _ = pair(seed)
    each = np.asarray(dcl(z, z, reduction="none"), "float64")
    np.testing.assert_allclose(nt_xent(z, z, reduction="none"), np.log1p(np.exp(each)), rtol=1e-5, atol=1e-6)


def test_dcl_of_orthogonal_images():
    z = np.eye(4)
    for loss in (dcl, dclw):
        assert float(loss(z, z, temperature=0.5)) == pytest.approx(-2 + np.log(6), abs=1e-6)


@pytest.mark.parametrize("loss", [losses.dcl, losses.dclw])
def test_one_image_has_only_its_positive_term(loss):
    z1, z2 = pair(batch=1)
    cosine = np.sum(z1 * z2) / np.linalg.norm(z1) / np.linalg.norm(z2)
    value, grads = value_and_grad(loss, z1, z2)
    assert float(value) == pytest.approx(-cosine / 0.1, rel=1e-5)
    assert all(0 < np.abs(g).max() < 100 for g in grads)


@three_seeds
def test_dclw_gradient_leaves_its_weights_alone(seed):
    z1, z2 = (z.astype("float64") for z in pair(seed))
    weights = dclw_weights(z1, z2)
    assert weights.mean() == pytest.approx(1) and np.ptp(weights) > 0.1
    _, grads = value_and_grad(losses.dclw, z1, z2)
    frozen = functools.partial(dcl_reference, weights=weights)
    for i in range(2):
        np.testing.assert_allclose(
            grads[i], finite_differences(frozen, [z1, z2], i), rtol=1e-3, atol=2e-5, err_msg=str(i)
        )


def test_dclw_of_a_wide_sigma_is_dcl():
    assert float(dclw(*pair(), sigma=1e5)) == pytest.approx(float(dcl(*pair())), rel=1e-4)
    with pytest.raises(ValueError, match="sigma=0 must be a positive finite number"):
        losses.dclw(*pair(), sigma=0)


@three_seeds
@pytest.mark.parametrize("loss", [losses.dcl, losses.dclw])
@pytest.mark.parametrize("block_size", [None, 4])
def test_the_parts_of_a_batch_make_its_loss(loss, block_size, seed):
    z1, z2 = pair(seed)

    def by_parts(z1, z2):
        rows = [slice(0, 3), slice(3, 6)]
        share = {"block_size": block_size, "candidates": (z1, z2)}
        return sum(loss(z1[r], z2[r], first_row=r.start, **share) for r in rows) / 2

    value, grads = value_and_grad(loss, z1, z2)
    part_value, part_grads = value_and_grad(by_parts, z1, z2)
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    for part_grad, grad in zip(part_grads, grads, strict=True):
        np.testing.assert_allclose(part_grad, grad, rtol=1e-4, atol=1e-5)


def test_info_nce_closed_forms():
    key = np.array([[1.0, 0, 0, 0]])
    queue = np.array([[0, 1.0, 0, 0]] * 5)
    assert float(info_nce(key, key, queue, temperature=0.5)) == pytest.approx(
        np.log1p(5 * np.exp(-2)), abs=1e-6
    )
    assert float(info_nce(key, 3 * key, np.repeat(key, 5, axis=0))) == pytest.approx(np.log(6), rel=1e-6)
    assert float(info_nce(np.ones((5, 3)), np.ones((5, 3)))) == pytest.approx(np.log(5), rel=1e-6)
    value, grads = value_and_grad(losses.info_nce, *pair(batch=1))
    assert float(value) == pytest.approx(0, abs=1e-6) and all(np.abs(g).max() < 1e-5 for g in grads)


def test_info_nce_reaches_queries_keys_and_temperature():
    q, k = pair()
    _, grads = value_and_grad(lambda q, k, t: losses.info_nce(q, k, QUEUE, t), q, k, np.float32(0.2))
    assert all(np.abs(g).max() > 1e-3 for g in grads)
    with pytest.raises(ValueError, match=r"queue has shape \(7, 3\) but q has shape \(6, 4\); .* in dim"):
        losses.info_nce(q, k, QUEUE[:, :3])


@three_seeds
def test_info_nce_of_the_parts_of_a_batch_is_that_of_the_batch(seed):
    def by_parts(q, k):
        return (losses.info_nce(q[:3], k[:3], candidates=k) + losses.info_nce(q[3:], k[3:], candidates=k)) / 2

    value, grads = value_and_grad(losses.info_nce, *pair(seed))
    part_value, part_grads = value_and_grad(by_parts, *pair(seed))
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    for part_grad, grad in zip(part_grads, grads, strict=True):
        np.testing.assert_allclose(part_grad, grad, rtol=1e-4, atol=1e-5)


@three_seeds
def test_sup_con_with_a_class_for_each_image_is_nt_xent(seed):
    z1, z2 = pair(seed)
    classes = np.tile(np.arange(6), 2)
    both = np.concatenate([z1, z2])
    assert float(sup_con(both, classes)) == pytest.approx(float(nt_xent(z1, z2)), rel=1e-5)
    scaled = float(sup_con(both, classes, temperature=0.2, base_temperature=0.07))
    assert scaled == pytest.approx(float(nt_xent(z1, z2, temperature=0.2)) * 0.2 / 0.07, rel=1e-5)


def test_sup_con_of_identical_rows_and_of_lonely_ones():
    assert float(sup_con(np.ones((6, 3)), np.array([0, 0, 1, 1, 1, 1]))) == pytest.approx(np.log(5), rel=1e-6)
    value, (grad, _) = value_and_grad(losses.sup_con, pair()[0], np.arange(6.0))
    assert value == 0 and not grad.any()
    # The third row finds nobody, but the others are told from it.
    rows, classes = pair(batch=3)[0], np.array([0.0, 0.0, 1.0])
    each = np.asarray(sup_con(rows, classes, reduction="none"))
    assert each[2] == 0 and (each[:2] > 0).all()
    assert value_and_grad(losses.sup_con, rows, classes)[1][0][2].any()


def test_sup_con_ignores_the_names_of_classes():
    z, labels = labeled_rows(np.random.default_rng(0), 6)
    assert float(sup_con(z, 7 - 3 * labels)) == pytest.approx(sup_con_reference(z, labels), rel=1e-5)


@three_seeds
def test_sup_con_of_the_parts_of_a_batch_is_that_of_the_batch(seed):
    z, labels = labeled_rows(np.random.default_rng(seed), 6)

    def by_parts(z):
        parts = [
            losses.sup_con(z[i : i + 3], labels[i : i + 3], candidates=(z, labels), first_row=i)
            for i in (0, 3)
        ]
        return sum(parts) / 2

    value, grad = value_and_grad(lambda z: losses.sup_con(z, labels), z)
    part_value, part_grad = value_and_grad(by_parts, z)
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    np.testing.assert_allclose(part_grad[0], grad[0], rtol=1e-4, atol=1e-5)


@three_seeds
def test_own_negatives_that_all_queries_share_are_rows_of_the_queue(seed):
    q, k = pair(seed)
    more = np.random.default_rng(seed).normal(size=(3, 4)).astype("float32")
    own = np.broadcast_to(more, (6, 3, 4))
    value, grads = value_and_grad(lambda q, k: losses.info_nce(q, k, QUEUE, own_negatives=own), q, k)
    longer = np.concatenate([QUEUE, more])
    expected, expected_grads = value_and_grad(lambda q, k: losses.info_nce(q, k, longer), q, k)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for grad, other in zip(grads, expected_grads, strict=True):
        np.testing.assert_allclose(grad, other, rtol=1e-4, atol=1e-6)


def test_own_negatives_without_a_queue_are_refused():
    with pytest.raises(ValueError, match="own_negatives are additional to the negatives of a queue"):
        losses.info_nce(*pair(), own_negatives=np.ones((6, 1, 4)))


@three_seeds
def test_hard_contrastive_of_all_negatives_is_info_nce(seed):
    q, k = pair(seed)
    for queue in ({}, {"queue": QUEUE}):
        value, grads = value_and_grad(
            functools.partial(losses.hard_contrastive, hard_fraction=1.0, **queue), q, k
        )
        expected, expected_grads = value_and_grad(functools.partial(losses.info_nce, **queue), q, k)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        for grad, other in zip(grads, expected_grads, strict=True):
            np.testing.assert_allclose(grad, other, rtol=1e-4, atol=1e-6)


def test_hard_contrastive_keeps_at_least_one_negative_and_all_that_tie():
    q, queue = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 2.0], [-1.0, 0.0]])
    one = float(losses.hard_contrastive(q, q, queue[1:], temperature=0.5, hard_fraction=0.01))
    assert one == pytest.approx(np.log1p(np.exp(-2)), abs=1e-6)
    tied = float(losses.hard_contrastive(q, q, queue, temperature=0.5, hard_fraction=0.01))
    assert tied == pytest.approx(np.log1p(2 * np.exp(-2)), abs=1e-6)


@three_seeds
def test_hard_contrastive_of_the_parts_of_a_batch_is_that_of_the_batch(seed):
    whole = functools.partial(losses.hard_contrastive, hard_fraction=0.4)

    def by_parts(q, k):
        rows = [slice(0, 3), slice(3, 6)]
        return sum(whole(q[r], k[r], candidates=k, first_row=r.start) for r in rows) / 2

    value, grads = value_and_grad(whole, *pair(seed))
    part_value, part_grads = value_and_grad(by_parts, *pair(seed))
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    for part_grad, grad in zip(part_grads, grads, strict=True):
        np.testing.assert_allclose(part_grad, grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, "all"])
def test_bad_hard_fraction(fraction):
    with pytest.raises(ValueError, match=f"hard_fraction={fraction} must lie in \\(0, 1\\]"):
        losses.hard_contrastive(*pair(), hard_fraction=fraction)


@three_seeds
def test_mixtures_of_hard_negatives(seed):
    q, _ = pair(seed, batch=3)
    rng = np.random.default_rng(seed)
    pairs, partners = rng.integers(0, 4, (3, 5, 2)), rng.integers(0, 4, (3, 2))
    a, b = rng.uniform(size=(3, 5)), rng.uniform(0, 0.5, (3, 2))
    mixed = np.asarray(losses.hard_negative_mixtures(q, QUEUE, 4, pairs, a, partners, b))
    for i in range(3):
        query = q[i] / np.linalg.norm(q[i])
        rows = QUEUE / np.linalg.norm(QUEUE, axis=1, keepdims=True)
        rows = rows[np.argsort(-rows @ query)[:4]]
        expected = [a[i, m] * rows[x] + (1 - a[i, m]) * rows[y] for m, (x, y) in enumerate(pairs[i])]
        expected += [b[i, m] * query + (1 - b[i, m]) * rows[x] for m, x in enumerate(partners[i])]
        expected = np.array(expected)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(mixed[i], expected, atol=1e-5)
        # Mixed with the query, a negative is never easier than it was.
        assert (mixed[i, 5:] @ query >= rows[partners[i]] @ query - 1e-6).all()


def test_mixtures_carry_no_gradient():
    def summed(q, queue):
        ones, numbers = np.full((6, 2), 0.4, "float32"), np.zeros((6, 2), "int32")
        mixed = losses.hard_negative_mixtures(q, queue, 3, np.zeros((6, 2, 2), "int32"), ones, numbers, ones)
        return ops.sum(mixed) + 0.0 * ops.sum(q)

    _, grads = value_and_grad(summed, pair()[0], QUEUE)
    assert not any(g.any() for g in grads)


@pytest.mark.parametrize("seed", (0, 1, 2))
def test_multi_crop_info_nce_is_info_nce_of_each_pair(seed):
    draw = np.random.default_rng(seed)
    predictions, keys = draw.normal(size=(3, 4, 5)), draw.normal(size=(2, 4, 5))
    queue = draw.normal(size=(7, 5))
    queue /= np.linalg.norm(queue, axis=1, keepdims=True)
    pairs = np.asarray(losses.multi_crop_info_nce(predictions, keys, queue, 0.3))
    for u, v in np.ndindex(2, 3):
        expected = float(losses.info_nce(predictions[v], keys[u], queue, 0.3))
        assert pairs[u, v] == pytest.approx(expected, rel=1e-5)


def test_multi_crop_info_nce_gradient_and_edges():
    draw = np.random.default_rng(0)
    predictions, keys = draw.normal(size=(3, 4, 5)).astype("float32"), draw.normal(size=(2, 4, 5))
    queue = draw.normal(size=(7, 5))
    queue /= np.linalg.norm(queue, axis=1, keepdims=True)

    def reference(predictions):
        total = 0.0
        for p in predictions:
            for k in keys:
                for a, b in zip(p, k, strict=True):
                    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
                    logits = np.array([a @ b, *(queue @ a)]) / 0.2
                    total += np.log(np.exp(logits).sum()) - logits[0]
        return total / 4

    def total(predictions):
        return ops.sum(losses.multi_crop_info_nce(predictions, keys, queue))

    value, (gradient,) = value_and_grad(total, predictions)
    assert float(value) == pytest.approx(reference(predictions.astype("float64")), rel=1e-5)
    np.testing.assert_allclose(
        gradient, finite_differences(reference, [predictions], 0), rtol=1e-3, atol=2e-5
    )
    for edge in (0 * predictions, np.ones_like(predictions), 1e4 * predictions):
        value, (gradient,) = value_and_grad(total, edge)
        assert np.isfinite(value) and np.isfinite(gradient).all()
