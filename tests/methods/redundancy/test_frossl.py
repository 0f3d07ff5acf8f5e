import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "FroSSL": {"arguments": {"projection_dim": 8, "hidden_dim": 16}},
}


def test_the_loss_is_the_papers_with_views_normalized_apart():
    model = make("FroSSL", views=None, invariance_weight=1.4)
    views = (*ready_views("FroSSL"), ready_views("FroSSL", seed=1)[0])
    z = [
        keras.ops.convert_to_numpy(model.projector(model.encoder(v, training=True), training=True))
        for v in views
    ]
    z = [a / np.linalg.norm(a, axis=0) for a in z]
    expected = 0.0
    for a in z:
        eigenvalues = np.linalg.svd(a, compute_uv=False) ** 2
        expected += np.log(np.sum((eigenvalues / eigenvalues.sum()) ** 2))
        expected += 1.4 * 3 * 8 * np.mean((a - np.mean(z, axis=0)) ** 2)
    terms, rest = terms_and_rest(model, views)
    assert float(terms["frossl"]) == pytest.approx(expected, rel=1e-4)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_the_default_head_is_the_papers():
    model = kerassl.methods.FroSSL(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 2048), (2048, 2048), (2048, 1024)]


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_views must be at least 2, got 1"):
        make("FroSSL", num_views=1)
    model = make("FroSSL", views=None)
    with pytest.raises(ValueError, match="it needs two, got 1"):
        terms_and_rest(model, ready_views("FroSSL")[:1])
