import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "MMCR": {"arguments": {"projection_dim": 8, "hidden_dim": 16}},
}


def test_the_loss_is_that_of_the_centroids_of_all_views_encoded_together():
    model = make("MMCR", views=None, local_weight=0.3)
    views = (*ready_views("MMCR"), ready_views("MMCR", seed=1)[0])
    z = model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    z = keras.ops.convert_to_numpy(z).reshape(3, 8, -1)
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    singular_values = np.linalg.svd(z.mean(0), compute_uv=False)
    of_images = np.linalg.svd(z.transpose(1, 0, 2), compute_uv=False)
    terms, rest = terms_and_rest(model, views)
    expected = -singular_values.sum() + 0.3 * of_images.sum(1).mean()
    assert float(terms["mmcr"]) == pytest.approx(expected, rel=1e-4)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_the_default_head_is_the_papers():
    model = kerassl.methods.MMCR(tiny_encoder())
    kernels = [tuple(v.shape) for v in model.projector.weights if v.path.endswith("kernel")]
    assert kernels == [(16, 8192), (8192, 8192), (8192, 512)]


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_views must be at least 2, got 1"):
        make("MMCR", num_views=1)
    model = make("MMCR", views=None)
    with pytest.raises(ValueError, match="needs at least two; got 1"):
        terms_and_rest(model, ready_views("MMCR")[:1])
