import keras
import numpy as np
import pytest
from tiny import make, ready_views

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "SimCLRv2": {"arguments": {"projection_dim": 8}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_keeping_no_layer_is_the_encoder_and_all_layers_the_head():
    model = make("SimCLRv2", views=None)
    x = ready_views("SimCLRv2")[0]
    features = numpy(model.encoder(x, training=False))
    np.testing.assert_array_equal(numpy(model.encoder_with_head(0)(x, training=False)), features)
    np.testing.assert_allclose(
        numpy(model.encoder_with_head(3)(x, training=False)),
        numpy(model.projector(features, training=False)),
        rtol=1e-5,
    )


def test_the_middle_layer_comes_with_its_norm_and_activation_and_shares_its_weights():
    model = make("SimCLRv2", views=None)
    middle = model.encoder_with_head(1)
    kinds = [type(layer).__name__ for layer in middle.layers[-3:]]
    assert kinds[0] == "Dense" and kinds[1].endswith("BatchNormalization") and kinds[2] == "Activation"
    assert float(numpy(middle(ready_views("SimCLRv2")[0])).min()) >= 0
    assert middle.output_shape == (None, model.feature_dim)
    own = {id(v) for v in model.encoder.weights} | {id(v) for v in model.projector.weights}
    assert {id(v) for v in middle.weights} < own
    middle.compile("sgd", "mse")
    before = numpy(model.projector.weights[0])
    middle.fit(ready_views("SimCLRv2")[0], np.ones((8, 16)), verbose=0)
    assert np.abs(numpy(model.projector.weights[0]) - before).max() > 0


def test_a_feature_map_is_pooled():
    inputs = keras.Input((16, 16, 3))
    encoder = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    model = kerassl.methods.SimCLRv2(encoder, projection_dim=8)
    assert model.encoder_with_head(0).output_shape == (None, 4)


def test_the_head_has_three_layers_and_no_more_can_be_kept():
    model = make("SimCLRv2")
    assert sum(v.path.endswith("kernel") for v in model.projector.weights) == 3
    with pytest.raises(ValueError, match="The head has 3 layers; it cannot keep 4 of them"):
        model.encoder_with_head(4)
