import keras
import numpy as np
import pytest

import kerassl
from kerassl.evaluation import essential_sparsity
from kerassl.evaluation.sparsity import prunable


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def network():
    keras.utils.set_random_seed(0)
    return kerassl.backbones.vit((8, 8, 1), patch_size=4, hidden_dim=12, depth=2, num_heads=3)


def test_shares_are_those_asked_for_and_masks_are_nested():
    encoder, seen = network(), []
    before = encoder.get_weights()

    def note(model):
        seen.append(np.concatenate([numpy(kernel).ravel() for kernel in prunable(model)]))
        return 1.0

    curve = essential_sparsity(encoder, note, (0.0, 0.25, 0.5, 0.9))
    dense = seen[0]
    for share, values in zip(curve.sparsities, seen, strict=True):
        assert np.mean(values == 0) == pytest.approx(share, abs=1 / len(dense))
        np.testing.assert_array_equal(values[values != 0], dense[values != 0])
        # The smallest of all layers go first.
        if share:
            assert np.abs(dense[values == 0]).max() <= np.abs(dense[values != 0]).min()
    for small, large in zip(seen, seen[1:], strict=False):
        assert not np.any((small == 0) & (large != 0))
    assert curve.essential == 0.9
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    # Query, key and value, projection and both layers of the MLP of two blocks; the patch embedding stays.
    assert len(prunable(encoder)) == 8


def test_the_essential_share_ends_before_the_first_drop():
    scores = iter((0.80, 0.795, 0.70, 0.80))
    curve = essential_sparsity(network(), lambda model: next(scores), (0.0, 0.3, 0.6, 0.8))
    assert curve.essential == 0.3 and curve.scores == (0.80, 0.795, 0.70, 0.80)


def test_weights_come_back_when_the_score_fails():
    encoder = network()
    before = encoder.get_weights()
    calls = []

    def fail(model):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no score")
        return 1.0

    with pytest.raises(RuntimeError, match="no score"):
        essential_sparsity(encoder, fail)
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_shares_that_do_not_grow_from_zero():
    with pytest.raises(ValueError, match="must grow from 0 and stay below 1"):
        essential_sparsity(network(), lambda model: 1.0, (0.1, 0.5))
    with pytest.raises(ValueError, match="no linear layer or convolution beyond its first"):
        essential_sparsity(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), lambda model: 1.0)
