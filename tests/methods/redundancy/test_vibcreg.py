import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "VIbCReg": {"arguments": {"projection_dim": 12, "hidden_dim": 12, "num_groups": 4}},
}


def test_the_terms_are_the_losses_of_whitened_views():
    model = make("VIbCReg", views=None, invariance=3.0, variance=5.0, covariance=70.0)
    # Away from where the scale is just what the hinge asks for.
    model.whitening.gamma.assign(0.3 * model.whitening.gamma)
    views = ready_views("VIbCReg")
    z1, z2 = (
        model.whitening(model.projector(model.encoder(v, training=True), training=True), training=True)
        for v in views
    )
    terms, _ = terms_and_rest(model, views)
    for name, weights in (
        ("invariance", (3.0, 0.0, 0.0)),
        ("variance", (0.0, 5.0, 0.0)),
        ("covariance", (0.0, 0.0, 70.0)),
    ):
        assert float(terms[name]) == pytest.approx(float(losses.vibcreg(z1, z2, *weights)), rel=1e-5)
        assert float(terms[name]) > 0


def test_the_default_head_and_weights_are_the_papers():
    model = kerassl.methods.VIbCReg(tiny_encoder(), hidden_dim=8)
    assert model.projector.output_shape == (None, 4096)
    assert model.whitening.num_groups == model.whitening.group_size == 64
    assert model.get_config()["covariance"] == 200.0
    assert kerassl.methods.VIbCReg.from_config(model.get_config()).whitening.group_size == 64


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_groups=5 must divide the width 12"):
        make("VIbCReg", num_groups=5)
    with pytest.raises(ValueError, match="variance must be >= 0, got -2"):
        make("VIbCReg", variance=-2)
