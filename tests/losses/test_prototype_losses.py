import numpy as np
import pytest
from loss_helpers import finite_differences, prototypical_reference, value_and_grad
from scipy.stats import ortho_group

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

RNG = np.random.default_rng(0)
Z, CENTRES = RNG.normal(size=(8, 4)).astype("float32"), RNG.normal(size=(3, 4)).astype("float32")
LABELS = np.arange(8) % 3


def test_prototypical_is_a_linear_classifier_of_the_prototypes():
    logits = 2 * Z @ CENTRES.T - np.sum(CENTRES**2, axis=1)
    expected = float(losses.cross_entropy(logits, LABELS))
    assert float(losses.prototypical(Z, LABELS, CENTRES)) == pytest.approx(expected, rel=1e-5)


def test_prototypical_does_not_see_where_and_how_the_space_lies():
    loss = float(losses.prototypical(Z, LABELS, CENTRES))
    turn = ortho_group.rvs(4, random_state=0).astype("float32")
    far = np.full(4, 100.0, "float32")
    assert float(losses.prototypical(Z @ turn + far, LABELS, CENTRES @ turn + far)) == pytest.approx(
        loss, rel=1e-4
    )


def test_prototypical_of_equidistant_prototypes_is_the_logarithm_of_their_number():
    loss = losses.prototypical([[0.0, 5.0]], [1], [[1.0, 0.0], [-1.0, 0.0]])
    assert float(loss) == pytest.approx(np.log(2))


def test_prototypical_moves_the_prototypes_too():
    _, (gradient,) = value_and_grad(lambda c: losses.prototypical(Z, LABELS, c), CENTRES)
    expected = finite_differences(
        lambda c: prototypical_reference(Z.astype("float64"), LABELS, c), [CENTRES], 0
    )
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=2e-5)


def test_prototypical_leaves_out_the_unlabeled_and_classes_without_a_prototype():
    mask = np.array([True, True, False])
    labels = np.array([0, 1, 2, -1, 1, 2, 0, 0])
    counted = labels % 3 < 2
    counted &= labels >= 0
    expected = prototypical_reference(Z[counted], labels[counted], CENTRES[:2])
    assert float(losses.prototypical(Z, labels, CENTRES, mask)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.prototypical(Z, np.full(8, 2), CENTRES, mask)) == 0.0


def test_class_means_are_those_of_the_labeled_rows():
    labels = np.array([0, 3, 0, -1, 3, 3, -1, 0])
    means, seen = losses.class_means(Z, labels, num_classes=4)
    assert np.asarray(seen).tolist() == [True, False, False, True]
    for label in (0, 3):
        np.testing.assert_allclose(np.asarray(means)[label], Z[labels == label].mean(axis=0), atol=1e-6)
    assert not np.asarray(means)[1:3].any()


def test_both_nearest_terms_vanish_where_latents_and_prototypes_are_the_same():
    points = RNG.normal(size=(6, 3))
    own = np.sum((points[:, None] - points[None, [3, 1, 5]]) ** 2, axis=-1)
    # Each of three prototypes is an image; three images are far from all.
    assert float(losses.nearest_image(own)) == 0.0
    assert float(losses.nearest_prototype(own)) > 0.1
    assert float(losses.nearest_prototype(own[[1, 3, 5, 3]])) == 0.0
    # One to one, both are the mean of the matched distances.
    apart = np.where(np.eye(4), [1.0, 2.0, 3.0, 4.0], 9.0)
    assert float(losses.nearest_image(apart)) == float(losses.nearest_prototype(apart)) == 2.5


def test_costs_of_classes_leave_out_the_unlabeled_and_what_is_masked():
    distances = np.array([[0.0, 3.0, 5.0, 9.0], [4.0, 3.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    labels, classes = np.array([0, 1, -1]), np.array([0, 0, 1, 1])
    # Every image holds a prototype of its class.
    assert float(losses.cluster_cost(distances, labels, classes)) == 0.0
    assert float(losses.separation_cost(distances, labels, classes)) == (5 + 3) / 2
    mask = np.array([False, False, False, True])
    # Class 0 has none left, so its image costs nothing in the one, and the other has none of another class.
    assert float(losses.cluster_cost(distances, labels, classes, mask)) == (0 + 2) / 2
    assert float(losses.separation_cost(distances, labels, classes, mask)) == (9 + 0) / 2
    each = losses.cluster_cost(distances, labels, classes, mask, reduction="none")
    assert np.asarray(each).tolist() == [0.0, 2.0, 0.0]
    # Of similarities: minus the mean largest.
    assert float(losses.cluster_cost(-distances, labels, classes)) == -(3 + 2) / 2


def test_prototype_nll_is_cut_where_it_is_likely_or_unlikely_enough():
    means, log_stds = np.zeros((2, 3)), np.array([[-5.0] * 3, [0.0] * 3])
    labels = np.array([0, 1, 1, -1])
    z = np.array([[0.0] * 3, [0.0] * 3, [1e5] * 3, [1.0] * 3], "float32")
    each = losses.prototype_nll(z, labels, means, log_stds, reduction="none")
    assert np.asarray(each) == pytest.approx([-1.0, 1.5 * np.log(2 * np.pi), 1e4, 0.0])
    loss, (gradient,) = value_and_grad(lambda x: losses.prototype_nll(x, labels, means, log_stds), z)
    assert loss == pytest.approx(np.asarray(each)[:3].mean()) and not gradient.any()


def test_prototypical_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"prototypes has shape \(3,\) but must be \(num_classes, dim\)"):
        losses.prototypical(Z, LABELS, np.zeros(3))
