import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "SimSiam": {"arguments": {"projection_dim": 8, "prediction_hidden_dim": 16}},
}


def test_the_loss_is_the_papers_with_views_normalized_apart():
    model = make("SimSiam", views=None)
    views = ready_views("SimSiam")
    z = [model.projector(model.encoder(view, training=True), training=True) for view in views]
    p = [keras.ops.convert_to_numpy(model.predictor(x, training=True)).astype("float64") for x in z]
    z = [keras.ops.convert_to_numpy(x).astype("float64") for x in z]

    def cosine(a, b):
        return np.mean(np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))

    expected = -(cosine(p[0], z[1]) + cosine(p[1], z[0])) / 2
    terms, _ = terms_and_rest(model, views)
    assert float(terms["negative_cosine"]) == pytest.approx(expected, rel=1e-5)


def test_the_heads_are_the_papers():
    model = kerassl.methods.SimSiam(tiny_encoder())
    assert [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")] == [
        (16, 16),
        (16, 16),
        (16, 2048),
    ]
    # The last batch norm has neither scale nor offset.
    assert sum(v.path.endswith("gamma") for v in model.projector.weights) == 2
    names = [v.path.split("/")[-1] for v in model.predictor.trainable_variables]
    assert names == ["kernel", "gamma", "beta", "kernel", "bias"]
