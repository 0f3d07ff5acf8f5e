import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses
from kerassl.views import cell_centers

pytestmark = pytest.mark.backends("torch")

TINY = {
    "VICRegL": {
        "arguments": {"projection_dim": 12, "hidden_dim": 12, "local_dim": 8, "num_matches": 5},
        "encoder": "feature map",
        "with": "boxes",
    },
}


def test_the_terms_are_those_of_images_and_of_their_cells():
    model = make("VICRegL", views=None, global_weight=0.6, covariance=2.0)
    view1, view2, *boxes = views = ready_views("VICRegL")
    maps = [model.encoder(view, training=True) for view in (view1, view2)]
    z1, z2 = (model.projector(keras.ops.mean(m, axis=(1, 2)), training=True) for m in maps)
    cells = [
        keras.ops.reshape(model.local_projector(keras.ops.reshape(m, (-1, 16)), training=True), (8, 16, 8))
        for m in maps
    ]
    terms, rest = terms_and_rest(model, views)
    # The covariance terms are averaged here, where VICReg sums them.
    whole = float(losses.vicreg(z1, z2, covariance=1.0))
    assert sum(float(terms[t]) for t in model.terms[:3]) == pytest.approx(0.6 * whole, rel=1e-5)
    centers = [cell_centers(box, 4, 4) for box in boxes]
    local = float(losses.vicregl_local(*cells, *centers, num_matches=5, covariance=2.0))
    assert sum(float(terms[t]) for t in model.terms[3:]) == pytest.approx(0.4 * local, rel=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_a_weight_of_one_leaves_vicreg():
    model, vicreg = make("VICRegL", views=None, global_weight=1.0), make("VICReg", views=None)
    views = ready_views("VICRegL")
    encoder, projector = model.encoder.get_weights(), model.projector.get_weights()
    vicreg.encoder.set_weights(encoder)
    vicreg.projector.set_weights(projector)
    mine, _ = terms_and_rest(model, views)
    theirs, _ = terms_and_rest(vicreg, views[:2])
    assert float(mine["invariance"]) == pytest.approx(float(theirs["invariance"]), rel=1e-5)
    assert float(mine["variance"]) == pytest.approx(float(theirs["variance"]), rel=1e-5)
    assert 2 * float(mine["covariance"]) == pytest.approx(float(theirs["covariance"]), rel=1e-5)
    assert all(float(mine[f"local_{name}"]) == 0 for name in theirs)


def test_the_place_of_a_cell_decides_and_not_its_number():
    model = make("VICRegL", views=None)
    view1, view2, boxes1, boxes2 = ready_views("VICRegL")
    mirrored = boxes2.copy()
    mirrored[:, 4] = 1 - mirrored[:, 4]
    before, _ = terms_and_rest(model, (view1, view2, boxes1, boxes2))
    after, _ = terms_and_rest(model, (view1, view2, boxes1, mirrored))
    assert float(before["invariance"]) == pytest.approx(float(after["invariance"]), rel=1e-6)
    assert abs(float(before["local_invariance"]) - float(after["local_invariance"])) > 1e-3


def test_a_named_recipe_says_where_it_cropped_and_so_does_a_loaded_model():
    model = make("VICRegL", views="digits")
    made = model.views(np.zeros((2, 20, 20, 3), "uint8"))
    assert [tuple(x.shape) for x in made] == [(2, 16, 16, 3), (2, 16, 16, 3), (2, 5), (2, 5)]
    loaded = type(model).from_config(model.get_config())
    assert isinstance(loaded.views, kerassl.views.LocatedViews)
    assert loaded.views.view1.get_config()["brightness"] == 0.4


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"gives \(None, 16\). Make the encoder without pooling.*pool=None"):
        kerassl.methods.VICRegL(tiny_encoder())
    crops = kerassl.views.preset("dino_cifar", 16)
    with pytest.raises(ValueError, match="which MultiCrop does not say; pass kerassl.views.LocatedViews"):
        make("VICRegL", views=crops)
