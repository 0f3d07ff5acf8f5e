import functools

import pytest
from launch import train
from tiny_methods import METHODS


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """What one device makes of methods, trained once for each backend."""

    @functools.cache
    def reference(backend, methods=METHODS):
        return train(tmp_path_factory.mktemp("one"), backend, "none", 1, methods)

    return reference
