import numpy as np
import pytest
from keras import ops
from loss_helpers import value_and_grad

from kerassl import engine


def reference(query, key, value):
    """The equation, one head of one sample at a time, in float64."""
    attended = np.zeros(query.shape)
    for sample, head in np.ndindex(query.shape[0], query.shape[2]):
        logits = query[sample, :, head] @ key[sample, :, head].T / np.sqrt(query.shape[-1])
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        attended[sample, :, head] = weights / weights.sum(axis=1, keepdims=True) @ value[sample, :, head]
    return attended


@pytest.mark.parametrize("seed", range(3))
def test_attention_and_its_gradients_are_those_of_the_equation(seed):
    rng = np.random.default_rng(seed)
    query, upstream = rng.normal(size=(2, 2, 3, 2, 4))
    key, value = rng.normal(size=(2, 2, 5, 2, 4))

    def run(query, key, value):
        return engine.attention(query, key, value) * ops.cast(upstream, "float32")

    found, gradients = value_and_grad(run, query, key, value)
    np.testing.assert_allclose(found, reference(query, key, value) * upstream, atol=1e-5)
    for index, gradient in enumerate(gradients):
        tensors = [query, key, value]
        place = (1, 0, 1, 2)
        slopes = []
        for change in (1e-5, -1e-5):
            moved = tensors[index].copy()
            moved[place] += change
            slopes.append((reference(*tensors[:index], moved, *tensors[index + 1 :]) * upstream).sum())
        np.testing.assert_allclose(gradient[place], (slopes[0] - slopes[1]) / 2e-5, atol=1e-4)
