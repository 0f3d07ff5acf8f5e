import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest

pytestmark = pytest.mark.backends("torch")

TINY = {
    "PMSN": {
        "encoder": "tokens",
        "arguments": {"num_prototypes": 16, "hidden_dim": 16, "projection_dim": 8, "momentum": 0.9},
        "views": ("msn_cifar", {"num_local_crops": 1}),
        "sizes": (16, 16, 8, 8),
        "without_chance": {},
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def terms_and_probabilities(name, views, **kwargs):
    """The terms of a method, and its anchors' probabilities by hand."""
    model = make(name, views=None, drop_ratio=0.0, **kwargs)
    terms, _ = terms_and_rest(model, views)
    logits = [model.head(model.encoder(v), training=True) for v in (views[1], np.concatenate(views[2:]))]
    logits = np.concatenate([numpy(part)[:, 0].astype("float64") for part in logits]) / 0.1
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return {name: float(value) for name, value in terms.items()}, e / e.sum(axis=1, keepdims=True)


def test_the_mean_of_the_anchors_is_drawn_to_the_power_law():
    terms, p = terms_and_probabilities("PMSN", ready_views("PMSN"), prior_exponent=0.5)
    mean, prior = p.mean(axis=0), np.arange(1, 17) ** -0.5
    expected = np.sum(mean * np.log(mean / (prior / prior.sum())))
    assert terms["prior_divergence"] == pytest.approx(expected, rel=1e-4)


def test_with_equal_shares_it_is_msn():
    views = ready_views("PMSN")
    for iterations in (0, 3):
        common = {"views": None, "drop_ratio": 0.0, "sinkhorn_iterations": iterations}
        (msn, _), (pmsn, _) = (
            terms_and_rest(make(name, **common, **own), views)
            for name, own in (("MSN", {}), ("PMSN", {"prior_exponent": 0.0}))
        )
        for name, value in msn.items():
            assert float(pmsn[name]) == pytest.approx(float(value), rel=1e-5, abs=1e-6)
    assert make("PMSN").get_config()["sinkhorn_iterations"] == 0
