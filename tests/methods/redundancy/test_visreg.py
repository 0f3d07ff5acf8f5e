import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "VISReg": {
        "arguments": {
            "num_views": 2,
            "num_global_views": 2,
            "num_directions": 12,
            "projection_dim": 8,
            "hidden_dim": 16,
        },
        "without_chance": {},
    },
}


def test_the_terms_are_those_of_the_projections_along_the_directions_of_the_step():
    model = make("VISReg", views=None, regularization_weight=0.6)
    views = ready_views("VISReg")
    z = model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    z = keras.ops.convert_to_numpy(z).reshape(2, 8, -1)
    directions = keras.random.normal((8, 12), seed=model.clock.seed("directions", True))
    terms, _ = terms_and_rest(model, views)
    assert float(terms["invariance"]) == pytest.approx(0.4 * np.mean((z - z.mean(0)) ** 2), rel=1e-4)
    assert float(terms["visreg"]) == pytest.approx(0.6 * float(losses.visreg(z, directions)), rel=1e-4)


def test_the_defaults_are_the_official_ones_and_survive_a_configuration():
    model = kerassl.methods.VISReg(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 2048), (2048, 2048), (2048, 256)]
    assert {
        layer.activation.__name__ for layer in model.projector.layers if hasattr(layer, "activation")
    } == {
        "gelu",
        "linear",
    }
    loaded = kerassl.methods.VISReg.from_config(model.get_config())
    assert loaded.views.num_views == loaded.arguments.num_global_views == 4
    assert (loaded.arguments.regularization_weight, loaded.arguments.num_directions) == (0.9, 4096)
