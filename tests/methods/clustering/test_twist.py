import keras
import numpy as np
import pytest
from loss_helpers import finite_differences, softmax, value_and_grad
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl.losses import twist

once = pytest.mark.backends("torch")

TINY = {
    "TWIST": {"arguments": {"num_prototypes": 12, "hidden_dim": 12}},
}
WEIGHTS = {"sharpness_weight": 0.4, "diversity_weight": 1.5, "temperature": 0.5}


def entropy(p):
    return -sum(x * np.log(x + 1e-5) for x in p)


def divergence(p, q):
    return sum(x * (np.log(x + 1e-5) - np.log(y + 1e-5)) for x, y in zip(p, q, strict=True))


def reference(logits1, logits2, sharpness_weight=1.0, diversity_weight=1.0, temperature=1.0):
    pairs = [(softmax(a), softmax(b)) for a, b in zip(logits1, logits2, strict=True)]
    total = np.mean([divergence(p, q) / 2 + divergence(q, p) / 2 for p, q in pairs])
    for view in (logits1, logits2):
        sharpened = [softmax(row / temperature) for row in view]
        total += sharpness_weight / 2 * np.mean([entropy(p) for p in sharpened])
        total -= diversity_weight / 2 * entropy(np.mean(sharpened, axis=0))
    return total


@pytest.mark.parametrize("weights", ({}, WEIGHTS), ids=("default", "weighted"))
def test_value_and_gradient_are_those_of_the_float64_loop(weights):
    logits = np.random.default_rng(0).normal(0, 3, (2, 5, 7)).astype("float32")
    value, gradients = value_and_grad(lambda a, b: twist(a, b, **weights), *logits)
    logits = logits.astype("float64")
    assert float(value) == pytest.approx(reference(*logits, **weights), rel=1e-5)
    for i in (0, 1):
        expected = finite_differences(lambda a, b: reference(a, b, **weights), logits, i)
        np.testing.assert_allclose(gradients[i], expected, rtol=1e-3, atol=2e-5)


@once
def test_certain_and_even_is_lowest_and_both_collapses_are_zero():
    even = 100 * np.eye(8)[np.arange(16) % 8]
    assert float(twist(even, even)) == pytest.approx(-np.log(8), abs=1e-3)
    collapsed = 100 * np.eye(8)[np.zeros(16, int)]
    assert float(twist(collapsed, collapsed)) == pytest.approx(0, abs=1e-3)
    undecided = np.zeros((16, 8))
    assert float(twist(undecided, undecided)) == pytest.approx(0, abs=1e-3)
    # Certain of other classes: the divergence is bounded by the 1e-5 inside its logarithms.
    assert float(twist(even, even[::-1])) == pytest.approx(-np.log(1e-5) - np.log(8), abs=1e-3)


@once
def test_bad_arguments():
    logits = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"logits1 has shape \(4, 3\) but logits2 has shape \(2, 3\)"):
        twist(logits, logits[:2])
    with pytest.raises(ValueError, match="temperature=0 must be a positive"):
        twist(logits, logits, temperature=0)
    with pytest.raises(ValueError, match="diversity_weight=-1 must be a finite number, at least 0"):
        twist(logits, logits, diversity_weight=-1)


def test_the_terms_are_the_papers_with_views_normalized_together():
    model = make("TWIST", views=None, **WEIGHTS)
    views = ready_views("TWIST")
    logits = model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    logits = np.split(keras.ops.convert_to_numpy(logits).astype("float64"), 2)
    terms, rest = terms_and_rest(model, views)
    only = {"sharpness_weight": 0.0, "diversity_weight": 0.0}
    assert tuple(terms) == ("consistency", "sharpness", "diversity")
    assert float(terms["consistency"]) == pytest.approx(reference(*logits, **only), rel=1e-4)
    assert float(sum(terms.values())) == pytest.approx(reference(*logits, **WEIGHTS), rel=1e-4)
    assert float(terms["diversity"]) < 0 < float(terms["sharpness"])
    assigned = keras.ops.convert_to_numpy(rest["assignments"])
    np.testing.assert_array_equal(assigned, np.concatenate(logits).argmax(axis=1))


@once
def test_the_default_head_is_the_official_one():
    model = kerassl.methods.TWIST(tiny_encoder())
    shapes = [tuple(v.shape) for v in model.projector.trainable_weights]
    width = 4096
    hidden = [(width,)] * 3  # The bias, and scale and offset of the batch norm.
    assert shapes == [(16, width), *hidden, (width, width), *hidden, (width, width), (width,)]
    assert isinstance(model.projector.layers[-1], keras.layers.BatchNormalization)
    assert (model.arguments.sharpness_weight, model.arguments.diversity_weight) == (1.0, 1.0)
