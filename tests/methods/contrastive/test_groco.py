import keras
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "GroCo": {"arguments": {"projection_dim": 8, "num_negatives": 3}},
}


def test_each_view_goes_through_batch_norm_by_itself():
    model = make("GroCo", views=None, steepness=2.0)
    views = (*ready_views("GroCo"), ready_views("GroCo", seed=1)[0])
    z = [model.projector(model.encoder(view, training=True), training=True) for view in views]
    z = [keras.ops.convert_to_numpy(each) for each in z]
    terms, rest = terms_and_rest(model, views)
    expected = losses.groco(*z, num_negatives=3, steepness=2.0)
    assert float(terms["groco"]) == pytest.approx(float(expected), rel=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_a_named_recipe_makes_as_many_views_as_asked_for():
    model = make("GroCo", num_views=4)
    assert model.views.num_views == 4
    assert type(model).from_config(model.get_config()).views.num_views == 4


def test_the_head_is_the_official_one():
    model = kerassl.methods.GroCo(tiny_encoder())
    shapes = [tuple(v.shape) for v in model.projector.trainable_variables]
    assert shapes == [(16, 16), (16,), (16,), (16, 16), (16,), (16,), (16, 2048)]
    assert (model.arguments.num_negatives, model.arguments.steepness, model.arguments.num_views) == (
        10,
        1.0,
        2,
    )


def test_bad_arguments():
    for argument, value, text in (("num_views", 1, "num_views must be at least 2, got 1"),):
        with pytest.raises(ValueError, match=text):
            make("GroCo", **{argument: value})
    with pytest.raises(ValueError, match="needs at least two; got 1"):
        model = make("GroCo", views=None)
        terms_and_rest(model, ready_views("GroCo")[:1])
