"""DeepCluster v2's loss: the loop, closed forms, unknown images."""

import numpy as np
import pytest
from loss_helpers import finite_differences, softmax, value_and_grad

from kerassl import losses

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
