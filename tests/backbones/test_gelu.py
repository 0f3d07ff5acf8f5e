import math

import numpy as np
import pytest
from keras import ops
from loss_helpers import value_and_grad

from kerassl.backbones.transformer import gelu


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 0.02), ("float16", 3e-3)])
@pytest.mark.parametrize("compiled", [False, True])
def test_value_and_gradient_are_those_of_the_equation(dtype, tolerance, compiled):
    x = np.linspace(-6, 6, 97)
    cumulative = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)

    def run(x):
        y = gelu(x)
        assert y.dtype == x.dtype
        return ops.cast(y, "float32")

    value, (gradient,) = value_and_grad(run, x, dtype=dtype, compiled=compiled)
    np.testing.assert_allclose(value, x * cumulative, atol=tolerance)
    np.testing.assert_allclose(gradient, cumulative + x * density, atol=tolerance)
