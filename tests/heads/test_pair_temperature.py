import keras
import numpy as np
import pytest

from kerassl.heads import PairTemperature, multi_head_mlp


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def rows(n, seed=0, heads=2, dim=4):
    return np.random.default_rng(seed).normal(size=(n, heads, dim)).astype("float32")


def layer(**kwargs):
    keras.utils.set_random_seed(0)
    made = PairTemperature(dim=4, hidden_dim=6, minimum=0.1, maximum=0.9, **kwargs)
    made.hidden_bias.assign(np.linspace(-0.5, 0.5, 6))
    made.output_bias.assign(0.2)
    return made


def plain(made, first, second):
    """The perceptron on every concatenation, in float64."""
    kernels = np.concatenate([numpy(made.first_kernel), numpy(made.second_kernel)]).astype("float64")
    out = np.zeros((first.shape[1], len(first), len(second)))
    for i, c, j in np.ndindex(len(first), first.shape[1], len(second)):
        a, b = (x / np.linalg.norm(x) for x in (first[i, c], second[j, c]))
        hidden = np.maximum(np.concatenate([a, b]) @ kernels + numpy(made.hidden_bias), 0)
        output = (hidden @ numpy(made.output_kernel)).item() + numpy(made.output_bias)
        out[c, i, j] = 0.1 + 0.8 / (1 + np.exp(-output))
    return out


def test_each_pair_gets_the_perceptrons_output_of_both_embeddings():
    made, first, second = layer(), rows(3), rows(5, seed=1)
    expected = plain(made, first, second)
    np.testing.assert_allclose(numpy(made(first, second)), expected, rtol=1e-5)
    assert np.ptp(expected) > 0.01
    diagonal = np.einsum("cii->ci", expected[:, :, :3])
    np.testing.assert_allclose(numpy(made.of_rows(first, second[:3])), diagonal, rtol=1e-5)
    turned = numpy(made(second, first)).transpose(0, 2, 1)
    assert np.abs(turned - expected).max() > 0.01
    np.testing.assert_allclose(numpy(made(7 * first, second)), expected, rtol=1e-5)


def test_gradients_are_those_of_the_perceptron_on_rows():
    """Through `of_rows`, which the backend differentiates, on all pairs written out."""
    made, first, second = layer(), rows(3), rows(5, seed=1)
    weights = np.random.default_rng(2).normal(size=(2, 3, 5)).astype("float32")

    def of_all(first, second):
        return keras.ops.sum(keras.ops.convert_to_tensor(weights) * made(first, second))

    def of_rows(first, second):
        first = keras.ops.repeat(first, 5, axis=0)
        second = keras.ops.tile(second, (3, 1, 1))
        return keras.ops.sum(keras.ops.reshape(weights, (2, 15)) * made.of_rows(first, second))

    for a, b in zip(
        gradients(of_all, made, first, second), gradients(of_rows, made, first, second), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        assert np.abs(b).max() > 1e-4


def gradients(function, made, *inputs):
    """Of both inputs and of all weights."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tensors = [tf.constant(x) for x in inputs]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        found = tape.gradient(value, [*tensors, *[v.value for v in made.trainable_variables]])
    elif keras.backend.backend() == "jax":
        import jax

        def value(*arrays):
            with keras.StatelessScope(list(zip(made.trainable_variables, arrays[2:], strict=True))):
                return function(*arrays[:2])

        arrays = [*map(jax.numpy.asarray, inputs), *[v.value for v in made.trainable_variables]]
        found = jax.jit(jax.grad(value, argnums=tuple(range(len(arrays)))))(*arrays)
    else:
        import torch

        tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
        found = torch.autograd.grad(
            function(*tensors), [*tensors, *[v.value for v in made.trainable_variables]]
        )
    return [numpy(g) for g in found]


def test_bad_arguments():
    with pytest.raises(ValueError, match="minimum .*got 0.5 and 0.5"):
        PairTemperature(4, minimum=0.5, maximum=0.5)
    with pytest.raises(ValueError, match="dim must be >= 1, got 0"):
        PairTemperature(0)
    with pytest.raises(ValueError, match=r"num_heads must be >= 1, got 0"):
        multi_head_mlp(4, (8,), 4, num_heads=0)


def test_heads_are_perceptrons_with_their_own_weights():
    made = multi_head_mlp(3, (5,), 2, num_heads=4)
    first, first_bias, second, second_bias = (numpy(w) for w in made.weights)
    x = rows(6, dim=3)[:, 0]
    for c in range(4):
        hidden = np.maximum(x @ first[:, c] + first_bias[c], 0)
        expected = hidden @ second[c] + second_bias[c]
        np.testing.assert_allclose(numpy(made(x))[:, c], expected, rtol=1e-4, atol=1e-6)
    assert first.shape == (3, 4, 5) and second.shape == (4, 5, 2)
    assert np.abs(first).max() <= (6 / 8) ** 0.5 and np.abs(first).max() > 0.6
