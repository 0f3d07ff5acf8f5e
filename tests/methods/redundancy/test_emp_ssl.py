import keras
import numpy as np
import pytest
from tiny import images, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "EMPSSL": {"arguments": {"num_patches": 3, "projection_dim": 8, "hidden_dim": 16}},
}


def test_the_loss_is_that_of_all_patches_encoded_together():
    model = make("EMPSSL", views=None, invariance_weight=10.0, distortion=0.5)
    views = (*ready_views("EMPSSL"), ready_views("EMPSSL", seed=1)[0])
    z = model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    z = keras.ops.convert_to_numpy(z).reshape(3, 8, -1)
    terms, rest = terms_and_rest(model, views)
    assert float(terms["emp_ssl"]) == pytest.approx(float(losses.emp_ssl(z, 10.0, 0.5)), rel=1e-4)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_a_patch_is_a_quarter_of_the_image_at_full_size():
    model = make("EMPSSL", num_patches=5)
    assert model.views.num_views == 5
    crop = kerassl.views.preset("emp_ssl", 16).view1.get_config()
    assert tuple(crop["scale"]) == (0.25, 0.25) and tuple(crop["ratio"]) == (1.0, 1.0)
    views = model.views(images(4), seed=keras.random.SeedGenerator(0))
    assert {tuple(view.shape) for view in views} == {(4, 16, 16, 3)}
    loaded = type(model).from_config(model.get_config())
    assert loaded.views.num_views == loaded.arguments.num_patches == 5


def test_the_default_head_is_the_papers():
    model = kerassl.methods.EMPSSL(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 4096), (4096, 4096), (4096, 1024)]
    assert model.views.num_views == 20


def test_bad_arguments():
    model = make("EMPSSL", views=None)
    with pytest.raises(ValueError, match="it needs two, got 1"):
        terms_and_rest(model, ready_views("EMPSSL")[:1])
