import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "DCL": {"arguments": {"projection_dim": 8}},
    "DCLW": {"arguments": {"projection_dim": 8}},
}


@pytest.mark.parametrize(("name", "loss"), [("DCL", kerassl.losses.dcl), ("DCLW", kerassl.losses.dclw)])
def test_it_is_simclr_with_another_loss(name, loss):
    views = ready_views(name)
    model = make(name, views=None, temperature=0.3)
    z = model.projector(model.encoder(np.concatenate(views), training=True), training=True)
    expected = float(loss(*keras.ops.split(z, 2), temperature=0.3))
    terms, rest = terms_and_rest(model, views)
    assert set(terms) == {name.lower()}
    assert float(terms[name.lower()]) == pytest.approx(expected, rel=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)
    by_blocks = make(name, views=None, temperature=0.3, block_size=5)
    assert float(terms_and_rest(by_blocks, views)[0][name.lower()]) == pytest.approx(expected, rel=1e-4)


def test_sigma_is_checked_and_saved():
    assert make("DCLW", sigma=2.0).get_config()["sigma"] == 2.0
