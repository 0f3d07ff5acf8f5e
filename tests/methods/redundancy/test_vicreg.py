import keras
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "VICReg": {"arguments": {"projection_dim": 12, "hidden_dim": 12}},
}


def test_the_three_terms_are_the_losses_of_views_embedded_apart():
    model = make("VICReg", views=None, invariance=3.0, variance=5.0, covariance=2.0)
    views = ready_views("VICReg")
    z1, z2 = (model.projector(model.encoder(v, training=True), training=True) for v in views)
    terms, rest = terms_and_rest(model, views)
    for name, weights in (
        ("invariance", (3.0, 0.0, 0.0)),
        ("variance", (0.0, 5.0, 0.0)),
        ("covariance", (0.0, 0.0, 2.0)),
    ):
        assert float(terms[name]) == pytest.approx(float(losses.vicreg(z1, z2, *weights)), rel=1e-5)
        assert float(terms[name]) > 0
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_the_default_head_and_weights_are_the_papers():
    model = kerassl.methods.VICReg(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 8192), (8192, 8192), (8192, 8192)]
    assert sum(v.path.endswith("bias") for v in model.projector.weights) == 2
    assert {k: model.get_config()[k] for k in ("invariance", "variance", "covariance")} == {
        "invariance": 25.0,
        "variance": 25.0,
        "covariance": 1.0,
    }
    assert isinstance(model.views, keras.layers.Layer)


def test_bad_weight():
    with pytest.raises(ValueError, match="covariance must be >= 0, got -1"):
        make("VICReg", covariance=-1)
