import keras
import numpy as np
import pytest

from kerassl.heads import sinusoidal_positions, transformer


def numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x, gamma, beta):
    return gamma * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) + beta


def test_a_block_is_that_of_the_paper_with_the_norm_after_the_sum():
    head = transformer(3, 4, depth=1, num_heads=2, hidden_dim=6, dropout=0.5)
    rng = np.random.default_rng(0)
    head.set_weights([rng.normal(size=w.shape) for w in head.get_weights()])
    tokens = rng.normal(size=(2, 3, 4)).astype("float32")
    (q, qb, k, kb, v, vb, o, ob, g1, b1, w1, c1, w2, c2, g2, b2) = map(numpy, head.weights)
    x = tokens.astype("float64")
    projections = (q, qb), (k, kb), (v, vb)
    queries, keys, values = (np.einsum("btd,dhe->bhte", x, w) + b[:, None] for w, b in projections)
    weights = softmax(queries @ keys.swapaxes(2, 3) / np.sqrt(2))
    x = layer_norm(x + np.einsum("bhte,hed->btd", weights @ values, o) + ob, g1, b1)
    expected = layer_norm(x + np.maximum(x @ w1 + c1, 0) @ w2 + c2, g2, b2)
    np.testing.assert_allclose(numpy(head(tokens, training=False)), expected, rtol=1e-4, atol=1e-4)
    once, again = (numpy(head(tokens, training=True)) for _ in range(2))
    assert np.abs(once - again).max() > 1e-3


def test_positions_are_sines_and_cosines():
    positions = sinusoidal_positions(5, 6)
    assert positions.shape == (5, 6) and positions.dtype == "float32"
    for place in range(5):
        for column in range(6):
            angle = place / 10000 ** (column // 2 * 2 / 6)
            expected = np.cos(angle) if column % 2 else np.sin(angle)
            assert positions[place, column] == pytest.approx(expected, abs=1e-6)
    assert sinusoidal_positions(2, 3).shape == (2, 3)


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_heads=3 must divide the width of a token, which is 8"):
        transformer(5, 8, num_heads=3)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        transformer(5, 8, dropout=1)
