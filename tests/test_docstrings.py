"""Runs the example of every public docstring."""

import doctest
import importlib
import pkgutil

import keras
import pytest

import kerassl

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(kerassl.__path__, "kerassl.")
    if module.name not in {f"kerassl.engine.{b}" for b in ("tensorflow", "jax", "torch")}
)


@pytest.mark.backends("torch")  # Torch runs operations by themselves soonest.
@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    keras.utils.set_random_seed(0)
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert results.failed == 0
