import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest

from kerassl import losses
from kerassl.views import mix_views

pytestmark = pytest.mark.backends("torch")

TINY = {
    "MixedBarlowTwins": {"arguments": {"projection_dim": 12, "hidden_dim": 12}, "without_chance": {}},
}


def test_the_terms_are_those_of_views_and_of_what_the_step_mixes():
    model = make("MixedBarlowTwins", views=None, redundancy_weight=0.02, mixing_weight=3.0)
    view1, view2 = views = ready_views("MixedBarlowTwins")
    mixing, permutation = model.draw_mixing(8, training=True)
    assert sorted(keras.ops.convert_to_numpy(permutation)) == list(range(8)) and 0 < float(mixing) < 1
    z1, z2, z_mixed = (
        model.projector(model.encoder(v, training=True), training=True)
        for v in (view1, view2, mix_views(view1, view2, mixing, permutation))
    )
    terms, rest = terms_and_rest(model, views)
    expected = 0.06 * float(losses.mixing_regularizer(z1, z2, z_mixed, mixing, permutation))
    assert float(terms["mixing"]) == pytest.approx(expected, rel=1e-4)
    assert float(terms["barlow_twins"]) == pytest.approx(float(losses.barlow_twins(z1, z2, 0.02)), rel=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_every_step_mixes_anew_and_no_weight_leaves_barlow_twins():
    model = make("MixedBarlowTwins", views=None)
    views = ready_views("MixedBarlowTwins")
    first = float(terms_and_rest(model, views)[0]["mixing"])
    model.clock.step.assign(1)
    assert abs(float(terms_and_rest(model, views)[0]["mixing"]) - first) > 1e-6
    model, twins = make("MixedBarlowTwins", views=None, mixing_weight=0.0), make("BarlowTwins", views=None)
    twins.encoder.set_weights(model.encoder.get_weights())
    twins.projector.set_weights(model.projector.get_weights())
    mine, theirs = (terms_and_rest(m, views)[0] for m in (model, twins))
    assert float(mine["mixing"]) == 0
    assert float(mine["barlow_twins"]) == pytest.approx(float(theirs["barlow_twins"]), rel=1e-5)


def test_evaluation_mixes_alike_each_time():
    model = make("MixedBarlowTwins", views=None)
    views = ready_views("MixedBarlowTwins")
    values = [float(terms_and_rest(model, views, training=False)[0]["mixing"]) for _ in range(2)]
    assert values[0] == values[1] and np.isfinite(values[0])
