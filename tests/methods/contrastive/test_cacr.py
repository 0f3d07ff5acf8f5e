import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "CACR": {"arguments": {"projection_dim": 8}},
}


def test_both_terms_are_those_of_the_projections_of_all_views_together():
    settings = {"attraction_weight": 2.0, "repulsion_weight": 0.5, "positive_temperature": 0.7}
    model = make("CACR", views=None, **settings)
    views = (*ready_views("CACR"), ready_views("CACR", seed=1)[0])
    z = model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    z = keras.ops.convert_to_numpy(z).reshape(3, 8, -1)
    terms, rest = terms_and_rest(model, views)
    assert float(terms["attraction"]) == pytest.approx(
        2 * float(losses.contrastive_attraction(z, 0.7)), rel=1e-5
    )
    assert float(terms["repulsion"]) == pytest.approx(0.5 * float(losses.contrastive_repulsion(z)), rel=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_a_named_recipe_makes_as_many_views_as_asked_for():
    model = make("CACR", num_views=5)
    assert model.views.num_views == 5
    loaded = type(model).from_config(model.get_config())
    assert loaded.views.num_views == loaded.arguments.num_views == 5


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_views must be at least 2, got 1"):
        make("CACR", num_views=1)
    model = make("CACR", views=None)
    with pytest.raises(ValueError, match="needs at least two; got 1"):
        terms_and_rest(model, ready_views("CACR")[:1])


def test_the_head_is_as_simclrs():
    model = kerassl.methods.CACR(tiny_encoder())
    assert model.projector.output_shape == (None, 128)
    assert model.arguments.negative_temperature == 0.9
