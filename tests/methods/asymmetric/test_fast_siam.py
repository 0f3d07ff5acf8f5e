import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest

pytestmark = pytest.mark.backends("torch")

TINY = {
    "FastSiam": {"arguments": {"projection_dim": 8, "prediction_hidden_dim": 16}, "sizes": (16, 16, 16)},
}


SMALL = {"views": None, "projection_dim": 8, "prediction_hidden_dim": 16}


def numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def value(model, views):
    return float(terms_and_rest(model, views)[0]["negative_cosine"])


def some_views(count):
    return tuple(ready_views("FastSiam", seed=seed)[0] for seed in range(count))


def test_each_view_predicts_the_mean_of_the_others():
    model, views = make("FastSiam", **SMALL), some_views(4)
    z = [model.projector(model.encoder(view, training=True), training=True) for view in views]
    p = [numpy(model.predictor(x, training=True)) for x in z]
    z = [numpy(x) for x in z]
    cosines = []
    for v in range(4):
        for i in range(8):
            target = np.mean([z[w][i] for w in range(4) if w != v], axis=0)
            cosines.append(p[v][i] @ target / np.linalg.norm(p[v][i]) / np.linalg.norm(target))
    assert value(model, views) == pytest.approx(-np.mean(cosines), rel=1e-5)
    assert value(model, views[::-1]) == pytest.approx(-np.mean(cosines), rel=1e-5)


def test_two_views_or_equal_ones_are_simsiam():
    model, simsiam = make("FastSiam", **SMALL), make("SimSiam", **SMALL)
    first, second = some_views(2)
    assert value(model, (first, second)) == pytest.approx(value(simsiam, (first, second)), rel=1e-5)
    assert value(model, (first,) * 4) == pytest.approx(value(simsiam, (first, first)), rel=1e-5)


def test_a_named_recipe_makes_as_many_views_as_asked_for():
    model = make("FastSiam", num_views=3)
    assert model.views.num_views == 3
    loaded = type(model).from_config(model.get_config())
    assert loaded.views.num_views == loaded.arguments.num_views == 3


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_views must be at least 2, got 1"):
        make("FastSiam", num_views=1)
    with pytest.raises(ValueError, match="needs at least two; got 1"):
        terms_and_rest(make("FastSiam", **SMALL), some_views(1))
