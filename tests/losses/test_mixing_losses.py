"""Closed forms of the regularizer of Mixed Barlow Twins."""

import numpy as np
import pytest
from keras import ops
from loss_helpers import fast, finite_differences, mixing_regularizer_reference, value_and_grad

from kerassl import losses
from kerassl.views import mix_views

pytestmark = pytest.mark.backends("torch")

regularizer = fast(losses.mixing_regularizer)
PERMUTATION = np.array([2, 0, 3, 5, 1, 4])


def three(seed=0, batch=6, dim=4):
    return np.random.default_rng(seed).normal(size=(3, batch, dim)).astype("float32")


def test_any_permutation_gives_value_and_gradients_of_the_float64_loop():
    def reference(z1, z2, z_mixed):
        return mixing_regularizer_reference(z1, z2, z_mixed, 0.3, PERMUTATION)

    def loss(z1, z2, z_mixed):
        return losses.mixing_regularizer(z1, z2, z_mixed, 0.3, PERMUTATION)

    inputs = three()
    value, grads = value_and_grad(loss, *inputs)
    assert value == pytest.approx(reference(*inputs.astype("float64")), rel=1e-5)
    for i, grad in enumerate(grads):
        expected = finite_differences(reference, inputs, i)
        np.testing.assert_allclose(grad, expected, rtol=1e-3, atol=2e-5)


def test_nothing_is_lacking_where_one_view_is_the_whole_mixture():
    z1, z2, _ = three()
    assert float(regularizer(z1, z2, 3 * z1 + 1, 1.0, PERMUTATION)) == pytest.approx(0, abs=1e-8)
    assert float(regularizer(z1, z2, z2[PERMUTATION], 0.0, PERMUTATION)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("mixing", [0.0, 0.3, 1.0])
def test_a_linear_embedding_of_standard_columns_mixes_linearly(mixing):
    # Orthogonal columns of both views, so that their mixture has known variances.
    q = np.linalg.qr(np.concatenate([np.ones((16, 1)), np.random.default_rng(0).normal(size=(16, 8))], 1))[0]
    z1, z2 = 4 * q[:, 1:5], 4 * q[:, 5:]
    z_mixed = mixing * z1 + (1 - mixing) * z2
    # Standardizing divides the mixture by its own deviation, which is what is left.
    factor = 1 / np.sqrt(mixing**2 + (1 - mixing) ** 2) - 1
    expected = 4 * factor**2 * (mixing**2 + (1 - mixing) ** 2)
    value = float(regularizer(z1, z2, z_mixed, mixing, np.arange(16)))
    assert value == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_images_are_mixed_with_the_named_partners():
    views = np.random.default_rng(0).normal(size=(2, 6, 4, 4, 3)).astype("float32")
    mixed = ops.convert_to_numpy(mix_views(*views, 0.25, PERMUTATION))
    np.testing.assert_allclose(mixed[3], 0.25 * views[0, 3] + 0.75 * views[1, 5], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(mix_views(*views, 1.0, PERMUTATION), views[0])


def test_bad_shapes():
    z1, z2, z_mixed = three()
    with pytest.raises(ValueError, match=r"z_mixed has shape \(5, 4\); they must be equal"):
        losses.mixing_regularizer(z1, z2, z_mixed[:5], 0.5, PERMUTATION)
    with pytest.raises(ValueError, match=r"permutation has shape \(1, 6\) but must be \(batch\)"):
        losses.mixing_regularizer(z1, z2, z_mixed, 0.5, PERMUTATION[None])
