import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "SupCon": {"arguments": {"projection_dim": 8}},
}


def loss(model, classes):
    views = ready_views("SupCon")
    return float(terms_and_rest(model, views, keras.ops.convert_to_tensor(classes))[0]["sup_con"])


def test_the_loss_is_the_papers_on_jointly_normalized_views():
    model = make("SupCon", views=None, temperature=0.3)
    views = ready_views("SupCon")
    z = keras.ops.convert_to_numpy(
        model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    )
    expected = kerassl.losses.sup_con(z, np.tile(labels(8), 2), temperature=0.3)
    assert loss(model, labels(8)) == pytest.approx(float(expected), rel=1e-5)


def test_an_unlabeled_image_is_a_class_of_its_own():
    model = make("SupCon", views=None)
    alone = loss(model, np.arange(8, dtype="int32"))
    assert loss(model, np.full(8, -1, "int32")) == pytest.approx(alone, rel=1e-6)
    some = np.array([0, 0, -1, 1, -1, 1, 2, -1], "int32")
    named = np.array([0, 0, 5, 1, 6, 1, 2, 7], "int32")
    assert loss(model, some) == pytest.approx(loss(model, named), rel=1e-6) != pytest.approx(alone, rel=1e-3)


def test_data_without_labels_is_refused_by_name():
    model = make("SupCon", views=None)
    with pytest.raises(ValueError, match="SupCon learns from labels, and the data has none"):
        model.fit(ready_views("SupCon"), batch_size=8, verbose=0)


def test_the_head_is_the_official_one():
    model = kerassl.methods.SupCon(tiny_encoder())
    assert [tuple(v.shape) for v in model.projector.weights] == [(16, 16), (16,), (16, 128), (128,)]
    assert model.arguments.temperature == 0.1 and model.arguments.base_temperature is None
