import numpy as np
import pytest
from keras import ops

from kerassl.heads import FixedReweighting


def test_each_feature_weighs_by_its_place():
    features = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    weighted = ops.convert_to_numpy(FixedReweighting(kappa=3.0)(features))
    np.testing.assert_allclose(weighted, features / 3.0 ** np.arange(5), rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(FixedReweighting(kappa=1.0)(features)), features)
    assert not FixedReweighting(kappa=3.0).weights


def test_wide_features_keep_weights_that_float32_holds():
    head = FixedReweighting(kappa=1.05)
    weighted = ops.convert_to_numpy(head(ops.ones((1, 2048), dtype="bfloat16")))
    assert weighted.dtype == "float32" and (weighted > 0).all() and weighted[0, -1] == np.float32(1e-37)
    assert FixedReweighting.from_config(head.get_config()).arguments.kappa == 1.05


def test_bad_kappa():
    with pytest.raises(ValueError, match="kappa must be >= 1, got 0.9"):
        FixedReweighting(kappa=0.9)
