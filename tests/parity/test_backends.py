"""Same weights and same views give the same loss and the same weights after a step on the three backends.

JAX compiles the step, torch and TensorFlow take it as Python has it; tests/distributed compares what
TensorFlow makes of it in a graph.
"""

import pytest
from comparison import assert_equal
from tiny import METHODS, WITHOUT_CHANCE


@pytest.mark.parametrize("backend", ("jax", "torch"))
@pytest.mark.parametrize("name", METHODS)
def test_loss_and_weights_agree(one_device, name, backend):
    without_chance = f"{name} without chance"
    name = without_chance if without_chance in WITHOUT_CHANCE else name
    assert_equal(one_device(backend), one_device("tensorflow"), name)
