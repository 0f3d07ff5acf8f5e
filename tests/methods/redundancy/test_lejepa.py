import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "LeJEPA": {
        "arguments": {"num_directions": 12, "projection_dim": 8, "hidden_dim": 16},
        "without_chance": {},
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_the_terms_are_those_of_the_projections_along_the_directions_of_the_step():
    model = make("LeJEPA", views=None, regularization_weight=0.3, num_global_views=1)
    views = (*ready_views("LeJEPA"), ready_views("LeJEPA", seed=1)[0])
    z = model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    z = numpy(z).reshape(3, 8, -1)
    directions = keras.random.normal((8, 12), seed=model.clock.seed("directions", True))
    terms, rest = terms_and_rest(model, views)
    assert float(terms["invariance"]) == pytest.approx(0.7 * np.mean((z - z[0]) ** 2), rel=1e-4)
    assert float(terms["sigreg"]) == pytest.approx(0.3 * float(losses.sigreg(z, directions)), rel=1e-4)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_directions_are_drawn_anew_in_every_step_and_alike_in_every_evaluation():
    model = make("LeJEPA", views=None)

    def loss(training):
        return float(terms_and_rest(model, ready_views("LeJEPA"), training=training)[0]["sigreg"])

    evaluated, first = loss(False), loss(True)
    assert loss(True) == pytest.approx(first, rel=1e-6)
    model = make("LeJEPA", views=None)
    model.clock.step.assign(1)
    assert loss(False) == pytest.approx(evaluated, rel=1e-6)
    assert loss(True) != pytest.approx(first, rel=1e-4)


def test_crops_of_two_sizes():
    preset = kerassl.views.preset("lejepa", 16, num_local_crops=2, local_size=8)
    assert preset.num_views == 4
    inputs = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3)(inputs))
    model = kerassl.methods.LeJEPA(keras.Model(inputs, pooled), views=preset, num_directions=4, hidden_dim=8)
    terms, _ = terms_and_rest(model, preset(np.zeros((2, 16, 16, 3), "uint8")), labels(2))
    assert set(terms) == {"invariance", "sigreg"}
    assert all(np.isfinite(float(value)) for value in terms.values())


def test_the_default_head_is_the_official_one():
    model = kerassl.methods.LeJEPA(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 2048), (2048, 2048), (2048, 16)]


def test_bad_arguments():
    model = make("LeJEPA", views=None, num_global_views=3)
    with pytest.raises(ValueError, match="needs at least two views and its 3 global ones; got 2"):
        terms_and_rest(model, ready_views("LeJEPA"))
