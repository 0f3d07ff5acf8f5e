import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "WMSE": {
        "arguments": {"projection_dim": 3, "hidden_dim": 12, "subbatch_size": 4},
        "without_chance": {"subbatch_size": 16},
    },
}


def test_the_loss_is_the_mean_over_cuts_of_views_projected_together():
    model = make("WMSE", views=None, subbatch_size=4, num_cuts=2)
    views = ready_views("WMSE")
    features = [model.encoder(view, training=True) for view in views]
    z = keras.ops.split(model.projector(keras.ops.concatenate(features), training=True), 2)
    rng = model.clock.seed("sub-batches", training=True)
    orders = [keras.ops.argsort(keras.random.uniform((8,), seed=rng)) for _ in range(2)]
    assert not np.array_equal(*map(keras.ops.convert_to_numpy, orders))
    expected = np.mean([float(losses.wmse(z, 4, order)) for order in orders])
    terms, rest = terms_and_rest(model, views)
    assert float(terms["wmse"]) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(rest["features"][0]), keras.ops.convert_to_numpy(features[0]), rtol=1e-5
    )


def test_the_default_head_is_the_papers_and_views_come_in_any_number():
    model = kerassl.methods.WMSE(tiny_encoder(), num_views=4)
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 1024), (1024, 64)]
    assert model.arguments.subbatch_size == 128
    assert type(model).from_config(model.get_config()).views.num_views == 4


def test_bad_arguments():
    with pytest.raises(ValueError, match="subbatch_size=64 images have no covariance of full rank"):
        kerassl.methods.WMSE(tiny_encoder(), subbatch_size=64)
    with pytest.raises(ValueError, match="num_views must be at least 2, got 1"):
        make("WMSE", num_views=1)
