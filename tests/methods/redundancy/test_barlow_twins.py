import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "BarlowTwins": {"arguments": {"projection_dim": 12, "hidden_dim": 12}},
}


def test_the_loss_is_the_papers_with_views_normalized_apart():
    model = make("BarlowTwins", views=None, redundancy_weight=0.01)
    views = ready_views("BarlowTwins")
    z = [
        keras.ops.convert_to_numpy(model.projector(model.encoder(v, training=True), training=True)).astype(
            "float64"
        )
        for v in views
    ]
    z1, z2 = ((a - a.mean(0)) / np.sqrt(a.var(0) + 1e-5) for a in z)
    expected = 0.0
    for i in range(12):
        for j in range(12):
            c = np.mean([z1[b, i] * z2[b, j] for b in range(8)])
            expected += (1 - c) ** 2 if i == j else 0.01 * c**2
    terms, _ = terms_and_rest(model, views)
    assert float(terms["barlow_twins"]) == pytest.approx(expected, rel=1e-4)


def test_the_default_head_is_the_papers():
    model = kerassl.methods.BarlowTwins(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 8192), (8192, 8192), (8192, 8192)]
    assert not any(v.path.endswith("bias") for v in model.projector.weights)
    assert model.arguments.redundancy_weight == 0.0051
