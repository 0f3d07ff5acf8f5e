import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "DirectCLR": {"arguments": {"subvector_dim": 5}},
}


def test_the_loss_is_that_of_the_features_with_views_normalized_apart():
    model = make("DirectCLR", views=None, temperature=0.3)
    views = ready_views("DirectCLR")
    r1, r2 = (model.encoder(view, training=True) for view in views)
    terms, rest = terms_and_rest(model, views)
    assert float(terms["direct_clr"]) == pytest.approx(float(losses.direct_clr(r1, r2, 5, 0.3)), rel=1e-5)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(rest["features"][0]), keras.ops.convert_to_numpy(r1), atol=1e-5
    )


def test_there_is_no_head_and_the_last_layer_learns_its_first_columns_alone():
    model = make("DirectCLR", views=None, num_classes=None)
    assert {v.path for v in model.trainable_variables} == {v.path for v in model.encoder.trainable_variables}
    kernel = [v for v in model.encoder.trainable_variables if len(v.shape) == 4][-1]
    before = keras.ops.convert_to_numpy(kernel)
    model.compile(keras.optimizers.SGD(1.0))
    model.fit(ready_views("DirectCLR"), labels(8), batch_size=8, verbose=0)
    moved = np.abs(keras.ops.convert_to_numpy(kernel) - before).max(axis=(0, 1, 2))
    assert moved[:5].min() > 0 and not moved[5:].any()


def test_bad_arguments():
    with pytest.raises(
        ValueError, match=r"subvector_dim must be at most 16, the width of the encoder's features, got 360"
    ):
        kerassl.methods.DirectCLR(tiny_encoder())
