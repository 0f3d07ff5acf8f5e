"""Closed forms of the losses that compare embeddings with a Gaussian along random directions."""

from statistics import NormalDist

import numpy as np
import pytest
from keras import ops
from loss_helpers import fast, finite_differences, value_and_grad, visreg_reference

from kerassl import losses
from kerassl.losses.redundancy.visreg import shape_term

sigreg, characteristic_function = fast(losses.sigreg), fast(losses.characteristic_function)
epps_pulley, view_invariance = fast(losses.epps_pulley), fast(losses.view_invariance)
visreg = fast(losses.visreg)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_sigreg_of_collapsed_and_of_two_point_embeddings():
    assert float(sigreg(np.zeros((2, 10, 4)), np.eye(4))) == pytest.approx(4.020476, rel=1e-5)
    signs = np.repeat([1.0, -1.0], 5)[None, :, None]
    assert float(sigreg(signs, np.ones((1, 1)))) == pytest.approx(1.0283, rel=1e-4)


def test_sigreg_of_gaussian_embeddings_does_not_grow_with_the_batch():
    values = [float(sigreg(normal(1, 128, 64, seed=s), np.eye(64))) for s in range(4)]
    more = [float(sigreg(normal(1, 512, 64, seed=s), np.eye(64))) for s in range(4)]
    assert np.mean(values) == pytest.approx(1.0525, rel=0.2) and np.mean(more) == pytest.approx(
        1.0525, rel=0.2
    )


def test_sigreg_integrates_the_whole_line_and_sees_neither_sign_nor_length_of_directions():
    fine = float(sigreg(np.zeros((1, 1, 2)), np.eye(2), num_knots=4001, largest_frequency=12.0))
    assert fine == pytest.approx(np.sqrt(2 * np.pi) * (1 - np.sqrt(2) + 1 / np.sqrt(3)), rel=1e-4)
    z, directions = normal(2, 6, 4), normal(4, 5, seed=1)
    value = float(sigreg(z, directions))
    assert float(sigreg(-z, directions)) == pytest.approx(value, rel=1e-5)
    assert float(sigreg(z, -3 * directions)) == pytest.approx(value, rel=1e-5)


def test_the_parts_of_a_batch_make_its_statistic():
    directions = normal(4, 5, seed=1)

    def by_parts(z):
        parts = [losses.characteristic_function(z[:, r], directions) for r in (slice(0, 3), slice(3, 6))]
        return losses.epps_pulley((parts[0] + parts[1]) / 2, 6)

    value, grads = value_and_grad(lambda z: losses.sigreg(z, directions), normal(2, 6, 4))
    part_value, part_grads = value_and_grad(by_parts, normal(2, 6, 4))
    np.testing.assert_allclose(part_value, value, rtol=1e-5)
    np.testing.assert_allclose(part_grads[0], grads[0], rtol=1e-4, atol=1e-6)


def test_invariance_is_the_distance_from_the_mean_of_the_global_views():
    z = normal(4, 5, 3)
    for count in (None, 2, 1):
        expected = np.mean((z - z[:count].mean(0)) ** 2)
        assert float(view_invariance(z, num_global_views=count)) == pytest.approx(expected, rel=1e-5)
    assert float(view_invariance(np.stack([z[0]] * 3))) == pytest.approx(0, abs=1e-6)
    # Every view moves the loss, the mean's own, too.
    _, grads = value_and_grad(lambda z: losses.view_invariance(z, 2), z)
    assert (np.abs(grads[0]).max(axis=(1, 2)) > 1e-3).all()


def test_bad_arguments_of_sigreg():
    with pytest.raises(ValueError, match="directions have 3 rows, but the embeddings 4 dimensions"):
        losses.sigreg(normal(2, 5, 4), np.eye(3))
    with pytest.raises(ValueError, match="num_knots=1 must be at least 2"):
        losses.sigreg(normal(2, 5, 4), np.eye(4), num_knots=1)
    with pytest.raises(ValueError, match=r"values has shape \(2, 3, 4\) but must be"):
        losses.epps_pulley(normal(2, 3, 4), 5)
    with pytest.raises(ValueError, match="between 1 and the number of views, 2, got 3"):
        losses.view_invariance(normal(2, 5, 4), 3)


def quantiles(n):
    return np.array([NormalDist().inv_cdf(i / (n + 1)) for i in range(1, n + 1)])


@pytest.mark.parametrize("batch, shape", [(2, 0.18553), (4, 0.38626), (8, 0.56995), (64, 0.89181)])
def test_visreg_of_collapsed_embeddings(batch, shape):
    z = np.zeros((2, batch, 4), "float32")
    assert float(visreg(z, np.eye(4))) == pytest.approx(1 + shape, rel=1e-4)
    assert float(visreg(z + 3, np.eye(4))) == pytest.approx(10 + shape, rel=1e-4)


def test_the_terms_of_visreg_of_standardized_quantiles_that_are_moved_and_scaled():
    q = quantiles(64)
    z = (q / q.std()).astype("float32")[None, :, None]
    floor = np.mean((q / q.std() - q) ** 2)
    assert float(visreg(z, np.ones((1, 1)))) == pytest.approx(floor, rel=1e-3)
    assert float(visreg(z + 2, np.ones((1, 1)))) == pytest.approx(4 + floor, rel=1e-4)
    assert float(visreg(3 * z, np.ones((1, 1)))) == pytest.approx(4 + floor, rel=1e-4)
    # No other data of this mean and spread has a smaller shape term.
    assert float(visreg(np.sign(z), np.ones((1, 1)))) > 2 * floor


def test_the_shape_sees_neither_the_order_of_images_nor_place_nor_scale_of_a_dimension():
    z, directions = normal(2, 9, 4), normal(4, 5, seed=1)
    value = float(shape_term(ops.convert_to_tensor(z), directions))
    assert float(shape_term(ops.flip(z, axis=1), directions)) == pytest.approx(value, rel=1e-5)
    moved = z * np.array([1, 2, 0.3, 5], "float32") + np.array([1, 0, -3, 2], "float32")
    assert float(shape_term(ops.convert_to_tensor(moved), directions)) == pytest.approx(value, rel=1e-4)


def test_the_gradient_of_visreg_leaves_the_deviation_in_the_shape_alone():
    z, directions = normal(2, 6, 4), normal(4, 5, seed=1)
    _, grads = value_and_grad(lambda z: losses.visreg(z, directions), z)
    constant = z.astype("float64").std(axis=1, keepdims=True)

    def reference(z):
        return visreg_reference(*z, directions=directions, deviations=constant)

    np.testing.assert_allclose(grads[0], finite_differences(reference, [z], 0), rtol=1e-3, atol=2e-5)
