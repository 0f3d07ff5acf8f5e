"""Sinkhorn-Knopp: the float64 loop, closed forms, what replicas and masks make of it."""

import concurrent.futures
import threading

import numpy as np
import pytest
from keras import ops
from loss_helpers import fast, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

rng = np.random.default_rng


def sinkhorn(scores, *args, **kwargs):
    return ops.convert_to_numpy(losses.sinkhorn(scores, *args, **kwargs))


def reference(scores, temperature=0.05, iterations=3, prior=None):
    """The loop of the paper's appendix A, in float64."""
    q = np.exp((scores - scores.max()) / temperature)
    n, k = q.shape
    prior = np.full(k, 1 / k) if prior is None else prior
    for _ in range(iterations):
        for j in range(k):
            q[:, j] *= prior[j] / q[:, j].sum()
        for i in range(n):
            q[i] *= 1 / n / q[i].sum()
    return q * n


@pytest.mark.parametrize("seed", (0, 1, 2))
@pytest.mark.parametrize("iterations", (1, 3, 10))
def test_it_is_the_loop_of_the_paper(iterations, seed):
    scores = rng(seed).uniform(-1, 1, size=(6, 4))
    np.testing.assert_allclose(
        sinkhorn(scores, 0.05, iterations), reference(scores, 0.05, iterations), atol=2e-5
    )


@pytest.mark.parametrize("seed", (0, 1, 2))
def test_marginals_are_exact(seed):
    scores = rng(seed).normal(size=(12, 5)) * 0.3
    np.testing.assert_allclose(sinkhorn(scores).sum(axis=1), np.ones(12), atol=1e-6)
    converged = sinkhorn(scores, 0.1, iterations=400)
    np.testing.assert_allclose(converged.sum(axis=1), np.ones(12), atol=1e-6)
    np.testing.assert_allclose(converged.sum(axis=0) / 12, np.full(5, 1 / 5), atol=1e-6)
    prior = ops.convert_to_numpy(losses.power_law_prior(5, 0.5))
    shares = sinkhorn(scores, 0.1, iterations=400, prior=prior).sum(axis=0) / 12
    np.testing.assert_allclose(shares, prior, atol=1e-6)


def test_constant_scores_give_equal_shares():
    for iterations in (1, 3):
        np.testing.assert_allclose(sinkhorn(np.full((3, 4), 0.7), 0.05, iterations), 0.25, rtol=1e-6)


def test_two_by_two_is_a_sigmoid():
    a, b, c, d = 0.3, 0.1, -0.2, 0.05
    q = sinkhorn(np.array([[a, b], [c, d]]), 0.2, iterations=500)
    own = 1 / (1 + np.exp(-(a + d - b - c) / 0.4))
    np.testing.assert_allclose(q, [[own, 1 - own], [1 - own, own]], atol=1e-6)


def test_shifts_of_rows_and_columns_change_nothing_in_the_end():
    scores = rng(3).normal(size=(5, 3)) * 0.2
    shifted = scores + rng(4).normal(size=(5, 1)) + rng(5).normal(size=(1, 3))
    np.testing.assert_allclose(
        sinkhorn(shifted, 0.2, iterations=300), sinkhorn(scores, 0.2, iterations=300), atol=2e-5
    )


@pytest.mark.parametrize("dtype", ("float32", "bfloat16", "float16"))
def test_no_score_overflows(dtype):
    scores = ops.cast(np.array([[60.0, -60.0, 0.0], [60.0, 50.0, -60.0], [-60.0, -60.0, -60.0]]), dtype)
    q = sinkhorn(scores, 0.01)
    assert q.dtype == "float32"
    assert np.isfinite(q).all()
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-6)


def test_a_masked_row_counts_for_nothing():
    scores = rng(0).normal(size=(7, 4)) * 0.3
    mask = np.array([1, 0, 1, 1, 0, 1, 1], bool)
    masked = sinkhorn(scores, mask=mask)
    np.testing.assert_allclose(masked[mask], sinkhorn(scores[mask]), atol=1e-6)
    assert not masked[~mask].any()
    assert not sinkhorn(scores, mask=np.zeros(7, bool)).any()


def test_heads_are_assigned_by_themselves():
    scores, mask = rng(0).normal(size=(6, 2, 4)) * 0.3, np.array([1, 1, 0, 1, 1, 1], bool)
    together = sinkhorn(scores, mask=mask)
    for head in range(2):
        np.testing.assert_allclose(together[:, head], sinkhorn(scores[:, head], mask=mask), atol=1e-6)


def test_replicas_that_tell_each_other_their_totals_assign_as_one_device():
    scores = rng(1).normal(size=(8, 3)) * 0.4
    told, meet = [None, None], threading.Barrier(2)

    def replica(number):
        def gather(totals):
            told[number] = ops.convert_to_numpy(totals)
            meet.wait()
            everyone = np.concatenate(told)
            meet.wait()
            return ops.convert_to_tensor(everyone)

        return sinkhorn(scores[4 * number : 4 * number + 4], gather=gather)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(replica, (0, 1)))
    np.testing.assert_allclose(np.concatenate(parts), sinkhorn(scores), atol=1e-6)


def test_no_gradient_passes():
    _, (gradient,) = value_and_grad(
        lambda scores: ops.sum(losses.sinkhorn(scores) * ops.square(ops.cast(scores, "float32"))),
        rng(0).normal(size=(4, 3)),
    )
    scores = rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(gradient, 2 * scores * sinkhorn(scores), rtol=1e-4, atol=1e-6)


def test_the_power_law():
    prior = ops.convert_to_numpy(losses.power_law_prior(4, 0.5))
    expected = np.arange(1, 5) ** -0.5
    np.testing.assert_allclose(prior, expected / expected.sum(), rtol=1e-6)
    np.testing.assert_allclose(losses.power_law_prior(4, 0.0), np.full(4, 0.25), rtol=1e-6)


def test_bad_arguments():
    scores = np.zeros((3, 2), "float32")
    with pytest.raises(ValueError, match="temperature=0 must be a positive"):
        losses.sinkhorn(scores, temperature=0)
    with pytest.raises(ValueError, match="iterations=0 must be at least 1"):
        losses.sinkhorn(scores, iterations=0)
    with pytest.raises(ValueError, match=r"scores has shape \(3,\)"):
        losses.sinkhorn(scores[:, 0])
    with pytest.raises(ValueError, match="exponent of at least 0; got 2 and -1"):
        losses.power_law_prior(2, -1)


@pytest.mark.parametrize("views, assigned", [(2, 2), (4, 2), (3, 1)])
def test_swav_of_equal_prototypes_is_log_of_their_number(views, assigned):
    swav = fast(losses.swav)
    assignments = np.stack([sinkhorn(rng(v).normal(size=(3, 6))) for v in range(assigned)])
    assert float(swav(np.full((views, 3, 6), 0.4), assignments)) == pytest.approx(np.log(6), rel=1e-6)


def test_swav_of_two_identical_crops_is_twice_one_term():
    scores = rng(0).normal(size=(3, 5)) * 0.3
    q = sinkhorn(scores)
    logits = scores / 0.1
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    value = float(losses.swav(np.stack([scores, scores]), np.stack([q, q])))
    assert value == pytest.approx(-np.mean(np.sum(q * log_p, axis=1)), rel=1e-5)
