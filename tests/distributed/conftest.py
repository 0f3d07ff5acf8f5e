import functools

import pytest
from launch import train
from tiny_methods import METHODS


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """What one device makes of each method, trained once for each backend."""

    @functools.cache
    def reference(backend):
        return train(tmp_path_factory.mktemp("one"), backend, "none", 1, METHODS)

    return reference
