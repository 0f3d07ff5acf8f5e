"""Closed forms of the ensemble of heads: one head, equal heads, sure heads, and where gradients go."""

import functools

import numpy as np
import pytest
from keras import ops
from loss_helpers import dino_inputs, fast, heads_of_views, softmax, value_and_grad

from kerassl import losses
from kerassl.losses.clustering.weighted_ensemble import WEIGHTINGS, entropy_weights

pytestmark = pytest.mark.backends("torch")

rng = np.random.default_rng
every_weighting = pytest.mark.parametrize("weighting", WEIGHTINGS)
msn_ensemble = functools.partial(losses.weighted_ensemble, losses.msn)
dino_ensemble = functools.partial(losses.weighted_ensemble, losses.dino)


def entropy(p):
    return -np.sum(p * np.log(p), axis=-1)


@every_weighting
@pytest.mark.parametrize("num_heads", (1, 3))
def test_one_head_or_equal_heads_are_the_loss_of_one(weighting, num_heads):
    student, teacher = dino_inputs(rng(0), 4)
    expected, (expected_gradient, _) = value_and_grad(losses.dino, student, teacher)
    heads = [np.repeat(x[:, :, None], num_heads, axis=2) for x in (student, teacher)]
    value, (gradient, _) = value_and_grad(functools.partial(dino_ensemble, weighting=weighting), *heads)
    assert value == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(gradient.sum(axis=2), expected_gradient, rtol=1e-5, atol=1e-7)
    each = fast(dino_ensemble)(*heads, weighting=weighting, reduction="none")
    np.testing.assert_allclose(each, fast(losses.dino)(student, teacher, reduction="none"), rtol=1e-5)


@every_weighting
def test_targets_without_views_are_those_of_msn(weighting):
    student, teacher = heads_of_views(rng(1), 4)
    value = float(fast(msn_ensemble)(student, teacher[0], weighting=weighting))
    heads = [float(losses.msn(student[:, :, h], teacher[0, :, h])) for h in range(3)]
    if weighting == "uniform":
        assert value == pytest.approx(np.mean(heads), rel=1e-5)
    else:
        assert abs(value - np.mean(heads)) > 1e-3


def test_of_two_heads_the_surer_weighs_by_a_sigmoid():
    p = np.array([softmax(rng(h).normal(size=5) * (1 + h)) for h in range(2)])
    first, second = entropy(p)
    expected = 1 / (1 + np.exp((first - second) / 0.2))
    weights = ops.convert_to_numpy(entropy_weights(ops.convert_to_tensor(p, "float32"), 0.2))
    np.testing.assert_allclose(weights, [expected, 1 - expected], rtol=1e-5)
    assert weights.sum() == pytest.approx(1, rel=1e-6)


def test_limits_of_the_entropies_temperature():
    student, teacher = heads_of_views(rng(2), 3)
    weighted = functools.partial(fast(msn_ensemble), student, teacher[0], weighting="entropy")
    even = float(fast(msn_ensemble)(student, teacher[0]))
    assert float(weighted(weighting_temperature=1e6)) == pytest.approx(even, rel=1e-5)
    surest = entropy(teacher[0]).argmin(axis=1)
    images = np.arange(3)
    expected = float(losses.msn(student[:, images, surest], teacher[0, images, surest]))
    assert float(weighted(weighting_temperature=1e-5)) == pytest.approx(expected, rel=1e-5)


def test_teachers_of_one_mind_make_the_mean_head_no_worse_than_the_heads_mean():
    student, _ = heads_of_views(rng(3), 4)
    wanted = np.array([0, 3, 1, 1])
    targets = np.repeat(np.eye(5)[wanted][:, None], 3, axis=1)
    mean_head, heads_mean = (
        float(fast(msn_ensemble)(student, targets, weighting=w)) for w in ("probability", "uniform")
    )
    p = np.array([[[softmax(row / 0.1) for row in image] for image in view] for view in student])
    expected = -np.mean(np.log(p.mean(axis=2)[:, np.arange(4), wanted]))
    assert mean_head == pytest.approx(expected, rel=1e-5)
    assert mean_head < heads_mean


def test_the_gradient_of_the_mean_head_weighs_heads_by_probability():
    """That of `sum_ij H(w_j t_i, s_j)` with `w_j = s_j(y) / (m sum_j' s_j'(y))`, detached."""
    student, teacher = (x[:1, :1] for x in heads_of_views(rng(4), 1))
    _, (gradient, _) = value_and_grad(
        functools.partial(msn_ensemble, temperature=1.0, weighting="probability"), student, teacher[0]
    )
    s = np.array([softmax(row) for row in student[0, 0]])
    weighted = s / s.sum(axis=0) * teacher[0, 0].mean(axis=0)
    # Of H(p, softmax(z)), for p that does not sum to one, along z.
    expected = s * weighted.sum(axis=1, keepdims=True) - weighted
    np.testing.assert_allclose(gradient[0, 0], expected, rtol=1e-4, atol=1e-6)


def test_bad_arguments():
    student, teacher = heads_of_views(rng(0), 2)
    with pytest.raises(ValueError, match="weighting='entropies' is unknown.*Did you mean 'entropy'"):
        dino_ensemble(student, teacher, weighting="entropies")
    with pytest.raises(ValueError, match="weighting_temperature=0 must be a positive"):
        dino_ensemble(student, teacher, weighting_temperature=0)
    with pytest.raises(ValueError, match="must be equal in num_heads and num_prototypes"):
        dino_ensemble(student, teacher[:, :, :2])
