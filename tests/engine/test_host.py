import importlib

import numpy as np

from kerassl.engine import host_product


def test_large_products_are_those_of_numpy(monkeypatch):
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=shape).astype("float32") for shape in ((7, 33), (50, 33)))
    expected = left.astype("float64") @ right.astype("float64").T
    small = host_product(right, 7)(left)
    monkeypatch.setattr(importlib.import_module("kerassl.engine.host"), "LARGE", 0)
    large = host_product(right, 7)(left)
    for found in (small, large):
        assert found.dtype == np.float32 and found.shape == (7, 50)
        np.testing.assert_allclose(found, expected, atol=2e-5)
