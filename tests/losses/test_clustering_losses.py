"""Losses on clusters, of DeepCluster v2, PCL and SMoG: the loops, closed forms, unknown images."""

import numpy as np
import pytest
from loss_helpers import finite_differences, softmax, unit, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

rng = np.random.default_rng
CLUSTERS = np.array([[4, 0, -1, 2, 2, 1], [1, 3, -1, 0, 4, 2]])


def deepcluster_v2_reference(scores):
    each = []
    for h, v, b in np.ndindex(scores.shape[:3]):
        if CLUSTERS[h, b] >= 0:
            each.append(-np.log(softmax(scores[h, v, b] / 0.1)[CLUSTERS[h, b]]))
    return np.mean(each)


@pytest.mark.parametrize("seed", (0, 1, 2))
def test_deepcluster_v2_is_the_loop(seed):
    scores = rng(seed).uniform(-0.5, 0.5, size=(2, 3, 6, 5)).astype("float32")
    value, (gradient,) = value_and_grad(lambda s: losses.deepcluster_v2(s, CLUSTERS), scores)
    assert float(value) == pytest.approx(deepcluster_v2_reference(scores.astype("float64")), rel=1e-5)
    expected = finite_differences(deepcluster_v2_reference, [scores], 0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=2e-5)
    assert not gradient[:, :, 2].any()


def test_deepcluster_v2_of_equal_scores_is_log_of_the_clusters():
    each = losses.deepcluster_v2(np.full((2, 3, 6, 5), 0.3), CLUSTERS, reduction="none")
    expected = np.log(5) * np.array([1, 1, 0, 1, 1, 1])
    np.testing.assert_allclose(np.asarray(each), expected, rtol=1e-6)
    assert float(losses.deepcluster_v2(np.zeros((2, 3, 6, 5)), CLUSTERS)) == pytest.approx(np.log(5))
    unknown = np.full((2, 6), -1)
    assert float(losses.deepcluster_v2(np.zeros((2, 3, 6, 5)), unknown)) == 0.0


def test_deepcluster_v2_bad_arguments():
    scores = np.zeros((2, 3, 6, 5), "float32")
    with pytest.raises(ValueError, match=r"clusters has shape \(2, 5\) but scores has shape \(2, 3, 6, 5\)"):
        losses.deepcluster_v2(scores, CLUSTERS[:, :5])
    with pytest.raises(ValueError, match=r"scores has shape \(3, 6, 5\) but must be"):
        losses.deepcluster_v2(scores[0], CLUSTERS)
    with pytest.raises(ValueError, match="temperature=0 must be a positive"):
        losses.deepcluster_v2(scores, CLUSTERS, temperature=0)


def proto_nce_inputs(seed):
    q = rng(seed).normal(size=(5, 4)).astype("float32")
    prototypes = np.array([unit(row) for row in rng(seed + 1).normal(size=(9, 4))])
    densities = rng(seed + 2).uniform(0.1, 0.5, size=9)
    return q, prototypes, densities, np.array([2, 0, -1, 7, 2]), np.array([1, 0, 1, 1, 0, 1, 1, 1, 1], bool)


@pytest.mark.parametrize("masked", (False, True))
@pytest.mark.parametrize("seed", (0, 1, 2))
def test_proto_nce_is_the_loop(seed, masked):
    q, prototypes, densities, targets, mask = proto_nce_inputs(seed)
    mask = mask if masked else np.ones(9, bool)

    def reference(q):
        each = []
        for row, target in zip(q, targets, strict=True):
            if target >= 0:
                logits = [unit(row) @ c / phi for c, phi in zip(prototypes, densities, strict=True)]
                kept = [j for j in range(9) if mask[j]]
                each.append(-np.log(softmax(np.array(logits)[kept])[kept.index(target)]))
        return np.mean(each)

    value, (gradient,) = value_and_grad(
        lambda q: losses.proto_nce(q, prototypes, densities, targets, mask if masked else None), q
    )
    assert float(value) == pytest.approx(reference(q.astype("float64")), rel=1e-5)
    np.testing.assert_allclose(gradient, finite_differences(reference, [q], 0), rtol=1e-3, atol=2e-5)
    assert not gradient[2].any()


def test_proto_nce_of_equal_prototypes_is_log_of_the_columns():
    q, _, _, targets, mask = proto_nce_inputs(0)
    same = np.tile(unit(np.ones(4)), (9, 1))
    known = np.log(9) * np.array([1, 1, 0, 1, 1])
    each = losses.proto_nce(q, same, np.full(9, 0.2), targets, reduction="none")
    np.testing.assert_allclose(np.asarray(each), known, rtol=1e-5)
    value = losses.proto_nce(q, same, np.full(9, 0.2), targets, mask)
    assert float(value) == pytest.approx(np.log(7), rel=1e-5)


@pytest.mark.parametrize("kind", ("zeros", "large", "all unknown"))
def test_proto_nce_stays_finite(kind):
    q, prototypes, densities, targets, mask = proto_nce_inputs(0)
    q = {"zeros": 0 * q, "large": 1e4 * q, "all unknown": q}[kind]
    targets = np.full(5, -1) if kind == "all unknown" else targets
    mask = np.zeros(9, bool) if kind == "all unknown" else mask
    value, (gradient,) = value_and_grad(
        lambda q: losses.proto_nce(q, prototypes, densities, targets, mask), q
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()


def smog_reference(x, z, groups, assignments, momentum, temperature=0.1):
    moved = []
    for k, group in enumerate(groups):
        fell = [unit(row) for row, a in zip(z, assignments, strict=True) if a == k]
        moved.append(unit(momentum * group + (1 - momentum) * np.mean(fell, axis=0)) if fell else group)
    logits = [[unit(row) @ unit(g) / temperature for g in moved] for row in x]
    return np.mean([-np.log(softmax(np.array(l))[a]) for l, a in zip(logits, assignments, strict=True)])


@pytest.mark.parametrize("momentum", (0.0, 0.6, 1.0))
@pytest.mark.parametrize("seed", (0, 1, 2))
def test_smog_is_the_loop_and_its_gradient_passes_through_the_groups(seed, momentum):
    x, z = rng(seed).normal(size=(2, 5, 4)).astype("float32")
    groups = np.array([unit(row) for row in rng(seed + 1).normal(size=(3, 4))])
    assignments = np.array([0, 2, 2, 0, 2])

    def loss(x, z):
        return losses.smog(x, losses.moved_groups(groups, z, assignments, momentum), assignments)

    def reference(x, z):
        return smog_reference(x, z, groups, assignments, momentum)

    value, gradients = value_and_grad(loss, x, z)
    assert float(value) == pytest.approx(reference(x.astype("float64"), z.astype("float64")), rel=1e-5)
    for i in (0, 1):
        expected = finite_differences(reference, [x, z], i)
        np.testing.assert_allclose(gradients[i], expected, rtol=1e-3, atol=3e-5)
    assert bool(np.abs(gradients[1]).max() > 1e-3) == (momentum < 1)


def test_moved_groups_closed_forms():
    groups = np.array([unit(row) for row in rng(0).normal(size=(3, 4))])
    z = rng(1).normal(size=(2, 4))
    moved = np.asarray(losses.moved_groups(groups, z, np.array([2, 0]), 0.0))
    np.testing.assert_allclose(moved, [unit(z[1]), groups[1], unit(z[0])], atol=1e-6)
    np.testing.assert_allclose(
        np.asarray(losses.moved_groups(groups, z, np.array([2, 0]), 1.0)), groups, atol=1e-6
    )


def test_smog_of_one_group_is_zero():
    x = rng(0).normal(size=(5, 4))
    assert float(losses.smog(x, x[:1], np.zeros(5, int))) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="temperature=0 must be a positive"):
        losses.smog(x, x, np.zeros(5, int), temperature=0)
